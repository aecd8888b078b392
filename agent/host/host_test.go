package host

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/routes"
)

// ownPrefixes are those of the datacenter in these tests.
func ownPrefixes() []catalog.Prefix {
	return []catalog.Prefix{
		{CIDR: netip.MustParsePrefix("10.1.0.0/16"), Kind: catalog.PodPrefix},
		{CIDR: netip.MustParsePrefix("10.101.0.0/16"), Kind: catalog.ServicePrefix},
		{CIDR: netip.MustParsePrefix("192.0.2.0/24"), Kind: catalog.NodePrefix},
		{CIDR: netip.MustParsePrefix("fd00:1::/48"), Kind: catalog.PodPrefix},
	}
}

func testHost() Host { return Host{TunnelPrefix: "mesh", Prefixes: ownPrefixes} }

func prefixes(texts ...string) []netip.Prefix {
	var list []netip.Prefix
	for _, text := range texts {
		list = append(list, netip.MustParsePrefix(text))
	}
	return list
}

func addresses(texts ...string) []netip.Addr {
	var list []netip.Addr
	for _, text := range texts {
		list = append(list, netip.MustParseAddr(text))
	}
	return list
}

// device returns a link that is up and has addresses.
func device(name string, mtu int, assigned ...string) link {
	return link{name: name, up: true, mtu: mtu, assigned: prefixes(assigned...)}
}

func TestDescribeSelectsAddressesLinksAndUnderlay(t *testing.T) {
	down := device("eth9", 1500, "192.0.2.9/24")
	down.up = false
	loopback := device("lo", 65536, "198.51.100.1/32", "203.0.113.1/24")
	loopback.loopback = true
	for name, test := range map[string]struct {
		links  []link
		routes []routes.HostRoute
		want   plan.Host
	}{
		"no links": {},
		"an address in a node prefix is on the underlay": {
			links: []link{device("eth0", 1500, "192.0.2.1/24", "2001:db8::1/64")},
			want: plan.Host{
				Addresses:   addresses("192.0.2.1", "2001:db8::1"),
				UnderlayMTU: 1500,
				Links:       []plan.Link{{Device: "eth0", Prefixes: prefixes("192.0.2.0/24", "2001:db8::/64")}},
				Underlay:    []string{"eth0"},
			},
		},
		"a device with pod addresses only is not on the underlay": {
			links: []link{device("cni0", 1450, "10.1.7.1/24", "fd00:1:0:7::1/64")},
			want: plan.Host{
				Addresses: addresses("10.1.7.1", "fd00:1:0:7::1"),
				Links:     []plan.Link{{Device: "cni0", Prefixes: prefixes("10.1.7.0/24", "fd00:1:0:7::/64")}},
			},
		},
		"a service address is not on the underlay": {
			links: []link{device("kube-ipvs0", 1500, "10.101.0.1/32")},
			want:  plan.Host{Addresses: addresses("10.101.0.1")},
		},
		"one address outside of pod prefixes is enough for the underlay": {
			links: []link{device("br0", 1500, "10.1.7.1/24", "198.51.100.7/24")},
			want: plan.Host{
				Addresses:   addresses("10.1.7.1", "198.51.100.7"),
				UnderlayMTU: 1500,
				Links:       []plan.Link{{Device: "br0", Prefixes: prefixes("10.1.7.0/24", "198.51.100.0/24")}},
				Underlay:    []string{"br0"},
			},
		},
		"the underlay MTU is the smallest one": {
			links: []link{
				device("eth1", 1400, "198.51.100.1/24"),
				device("eth0", 1500, "192.0.2.1/24"),
				device("cni0", 1280, "10.1.7.1/24"),
			},
			want: plan.Host{
				Addresses:   addresses("10.1.7.1", "192.0.2.1", "198.51.100.1"),
				UnderlayMTU: 1400,
				Links: []plan.Link{
					{Device: "cni0", Prefixes: prefixes("10.1.7.0/24")},
					{Device: "eth0", Prefixes: prefixes("192.0.2.0/24")},
					{Device: "eth1", Prefixes: prefixes("198.51.100.0/24")},
				},
				Underlay: []string{"eth0", "eth1"},
			},
		},
		"a device with a single address has no on-link prefix": {
			links: []link{device("ppp0", 1492, "203.0.113.7/32")},
			want: plan.Host{
				Addresses:   addresses("203.0.113.7"),
				UnderlayMTU: 1492,
				Underlay:    []string{"ppp0"},
			},
		},
		"the loopback device has addresses but no link": {
			links: []link{loopback},
			want:  plan.Host{Addresses: addresses("198.51.100.1", "203.0.113.1")},
		},
		"interfaces that are down are ignored": {links: []link{down}},
		"an uplink without an address is on the underlay": {
			links: []link{loopback, device("eth0", 1400), device("eth1", 1300), device("eth2", 1200), device("cali1", 1100)},
			routes: []routes.HostRoute{
				{Prefix: netip.MustParsePrefix("0.0.0.0/0"), Device: "eth0", Via: netip.MustParseAddr("198.51.100.254")},
				{Prefix: netip.MustParsePrefix("10.0.0.0/8"), Device: "eth1", Via: netip.MustParseAddr("fe80::1")},
				{Prefix: netip.MustParsePrefix("::/0"), Device: "eth2"},
				{Prefix: netip.MustParsePrefix("10.1.0.5/32"), Device: "cali1"},
			},
			want: plan.Host{
				Addresses:   addresses("198.51.100.1", "203.0.113.1"),
				UnderlayMTU: 1200,
				Underlay:    []string{"eth0", "eth1", "eth2"},
			},
		},
		"a route does not make a device with pod addresses one of the underlay": {
			links:  []link{device("flannel", 1450, "10.1.7.0/32")},
			routes: []routes.HostRoute{{Prefix: netip.MustParsePrefix("10.1.8.0/24"), Device: "flannel", Via: netip.MustParseAddr("10.1.8.0")}},
			want:   plan.Host{Addresses: addresses("10.1.7.0")},
		},
		"a device whose name only begins like ours is not ours": {
			links: []link{device("meshlan", 1500, "192.0.2.3/24")},
			want: plan.Host{
				Addresses:   addresses("192.0.2.3"),
				UnderlayMTU: 1500,
				Links:       []plan.Link{{Device: "meshlan", Prefixes: prefixes("192.0.2.0/24")}},
				Underlay:    []string{"meshlan"},
			},
		},
		"equal addresses and prefixes are listed once": {
			links: []link{device("eth0", 1500, "192.0.2.1/24", "192.0.2.2/24"), device("eth1", 1500, "192.0.2.1/24")},
			want: plan.Host{
				Addresses:   addresses("192.0.2.1", "192.0.2.2"),
				UnderlayMTU: 1500,
				Links: []plan.Link{
					{Device: "eth0", Prefixes: prefixes("192.0.2.0/24")},
					{Device: "eth1", Prefixes: prefixes("192.0.2.0/24")},
				},
				Underlay: []string{"eth0", "eth1"},
			},
		},
	} {
		t.Run(name, func(t *testing.T) { assert.Equal(t, test.want, testHost().describe(test.links, test.routes)) })
	}
}

func TestDescribeDoesNotDependOnTheOrderOfLinks(t *testing.T) {
	links := []link{
		device("eth0", 1500, "192.0.2.1/24", "2001:db8::1/64"),
		device("eth1", 1400, "198.51.100.1/24"),
		device("cni0", 1450, "10.1.7.1/24"),
	}
	want := testHost().describe(links, nil)
	slices.Reverse(links)
	assert.Equal(t, want, testHost().describe(links, nil))
}

// other is an address of another protocol than IP.
type other struct{}

func (other) Network() string { return "other" }
func (other) String() string  { return "02:00:00:00:00:01" }

func TestGlobalUnicastSelectsAddresses(t *testing.T) {
	assigned := []net.Addr{other{}}
	for _, text := range []string{
		"127.0.0.1/8", "169.254.1.1/16", "192.0.2.1/24", "224.0.0.1/4", "10.0.0.1/8",
		"::1/128", "fe80::1/64", "fd00::1/64", "2001:db8::1/64",
	} {
		ip, network, err := net.ParseCIDR(text)
		require.NoError(t, err)
		assigned = append(assigned, &net.IPNet{IP: ip, Mask: network.Mask})
	}
	want := prefixes("192.0.2.1/24", "10.0.0.1/8", "fd00::1/64", "2001:db8::1/64")
	assert.Equal(t, want, globalUnicast(assigned))
}

func TestSmallerMTUIgnoresAnUnknownOne(t *testing.T) {
	assert.Equal(t, 1500, smallerMTU(0, 1500))
	assert.Equal(t, 1400, smallerMTU(1400, 1500))
	assert.Equal(t, 1400, smallerMTU(1500, 1400))
}

func TestObserveReadsTheRealHost(t *testing.T) {
	want := []routes.HostRoute{{Prefix: netip.MustParsePrefix("10.1.7.0/24"), Device: "cni0"}}
	h := testHost()
	h.Routes = func(context.Context) ([]routes.HostRoute, error) { return want, nil }
	observed, err := h.Observe(t.Context())
	require.NoError(t, err)
	assert.Equal(t, want, observed.Routes)
	assert.True(t, slices.IsSortedFunc(observed.Addresses, netip.Addr.Compare))
	for _, l := range observed.Links {
		assert.NotEqual(t, "lo", l.Device)
	}
}

func TestObserveReturnsTheErrorOfTheRoutingTable(t *testing.T) {
	broken := errors.New("netlink is broken")
	h := testHost()
	h.Routes = func(context.Context) ([]routes.HostRoute, error) { return nil, broken }
	_, err := h.Observe(t.Context())
	require.ErrorIs(t, err, broken)
	require.ErrorContains(t, err, "read the main routing table")
}

func TestResolveReturnsAnAddressUnchanged(t *testing.T) {
	for name, want := range map[string]string{
		"192.0.2.1":        "192.0.2.1",
		"2001:db8::1":      "2001:db8::1",
		"::ffff:192.0.2.1": "192.0.2.1",
	} {
		got, err := testHost().Resolve(t.Context(), name)
		require.NoError(t, err)
		assert.Equal(t, addresses(want), got, name)
	}
}

func TestResolveNamesTheHostInItsError(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := testHost().Resolve(ctx, "gw.example.org")
	require.ErrorContains(t, err, "resolve gw.example.org")
}
