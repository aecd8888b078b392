package plan_test

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/meshway/meshway/agent/config"
	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/routes"
)

// hostWith returns a host with addresses, each given as "address device kind", and
// IPv4 default routes through some devices. The kinds are plan.DeviceKind: p, l and
// v; u is unstable, on a physical device.
func hostWith(defaults []string, list ...string) plan.Host {
	h := plan.Host{Places: map[netip.Addr]plan.Place{}}
	for _, text := range list {
		var address, device, kind string
		if _, err := fmt.Sscan(text, &address, &device, &kind); err != nil {
			panic(err)
		}
		addr := netip.MustParseAddr(address)
		h.Addresses = append(h.Addresses, addr)
		h.Places[addr] = plan.Place{
			Device:   device,
			Kind:     map[string]plan.DeviceKind{"l": plan.Loopback, "v": plan.Virtual}[kind],
			Unstable: kind == "u",
		}
	}
	for _, device := range defaults {
		h.Routes = append(h.Routes, routes.HostRoute{
			Prefix: netip.MustParsePrefix("0.0.0.0/0"), Device: device, Via: netip.MustParseAddr("192.0.2.254"),
		})
	}
	return h
}

func advertise(site plan.Site, host plan.Host) []string {
	cfg := config.Config{WireGuard: config.WireGuard{Port: 1}, Control: config.Control{Listen: netip.MustParseAddrPort("[::]:2")}}
	endpoints, _ := plan.Advertisement(cfg, site, host)
	var list []string
	for _, e := range endpoints {
		list = append(list, netip.MustParseAddrPort(e).Addr().String())
	}
	return list
}

func TestAddressesThatOthersReachAreAdvertisedBestFirst(t *testing.T) {
	for name, c := range map[string]struct {
		site plan.Site
		host plan.Host
		want []string
	}{
		"that of the default route first": {
			host: hostWith([]string{"eth1"}, "10.0.0.1 eth0 p", "192.0.2.1 eth1 p", "2001:db8::1 eth1 p"),
			want: []string{"192.0.2.1", "10.0.0.1", "2001:db8::1"},
		},
		"that in the network of the router first": {
			host: func() plan.Host {
				h := hostWith([]string{"eth0"}, "10.0.0.1 eth0 p", "192.0.2.1 eth0 p", "198.51.100.1 eth0 p")
				h.Links = []plan.Link{{Device: "eth0", Prefixes: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/24"), netip.MustParsePrefix("192.0.2.0/24")}}}
				return h
			}(),
			want: []string{"192.0.2.1", "10.0.0.1", "198.51.100.1"},
		},
		"no bridges of containers, and no other VPN": {
			host: hostWith([]string{"eth0"}, "100.64.0.7 tailscale0 v", "172.17.0.1 docker0 v", "172.18.0.1 br-1 v", "192.0.2.1 eth0 p"),
			want: []string{"192.0.2.1"},
		},
		"a bridge with the default route": {
			host: hostWith([]string{"br0"}, "172.17.0.1 docker0 v", "192.0.2.1 br0 v", "2001:db8::1 br0 v"),
			want: []string{"192.0.2.1", "2001:db8::1"},
		},
		"a virtual device with a router behind it": {
			host: func() plan.Host {
				h := hostWith([]string{"eth0"}, "10.9.0.1 veth0 v", "192.0.2.1 eth0 p")
				h.Routes = append(h.Routes, routes.HostRoute{Prefix: netip.MustParsePrefix("198.51.100.0/24"), Device: "veth0", Via: netip.MustParseAddr("10.9.0.2")})
				return h
			}(),
			want: []string{"192.0.2.1", "10.9.0.1"},
		},
		"virtual devices if there is nothing else": {
			host: hostWith(nil, "10.0.0.1 veth0 v", "10.0.1.1 veth1 v"),
			want: []string{"10.0.0.1", "10.0.1.1"},
		},
		"an address on the loopback device, after those of links": {
			host: hostWith([]string{"eth0"}, "10.0.0.1 eth0 p", "172.17.0.1 docker0 v", "192.0.2.1 lo l"),
			want: []string{"10.0.0.1", "192.0.2.1"},
		},
		"the only one is on the loopback device": {
			host: hostWith([]string{"eth0"}, "172.17.0.1 docker0 v", "192.0.2.1 lo l"),
			want: []string{"192.0.2.1"},
		},
		"no unstable addresses": {
			host: hostWith([]string{"eth0"}, "192.0.2.1 eth0 p", "2001:db8::1 eth0 p", "2001:db8::dead eth0 u"),
			want: []string{"192.0.2.1", "2001:db8::1"},
		},
		"those of the cluster first, and no bridges then either": {
			site: plan.Site{Addresses: addresses("203.0.113.1", "192.0.2.1")},
			host: hostWith(nil, "172.17.0.1 docker0 v", "192.0.2.1 eth0 p"),
			want: []string{"203.0.113.1", "192.0.2.1"},
		},
		"eight of eighteen networks": {
			host: hostWith([]string{"eth17"}, numbered(18)...),
			want: []string{"10.17.0.1", "10.0.0.1", "10.1.0.1", "10.2.0.1", "10.3.0.1", "10.4.0.1", "10.5.0.1", "10.6.0.1"},
		},
		"some of each family": {
			host: hostWith([]string{"eth0"}, append(numbered(9), "2001:db8::1 eth0 p", "2001:db8::2 eth0 p", "2001:db8::3 eth0 p")...),
			want: []string{"10.0.0.1", "10.1.0.1", "10.2.0.1", "10.3.0.1", "10.4.0.1", "10.5.0.1", "2001:db8::1", "2001:db8::2"},
		},
	} {
		t.Run(name, func(t *testing.T) { assert.Equal(t, c.want, advertise(c.site, c.host)) })
	}
}

// numbered returns addresses on n physical devices.
func numbered(n int) []string {
	var list []string
	for i := range n {
		list = append(list, fmt.Sprintf("10.%d.0.1 eth%d p", i, i))
	}
	return list
}
