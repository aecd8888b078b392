package dataplane

import (
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/meshway/meshway/agent/config"
	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/consensus/catalog"
)

func TestConfiguredAddressesAreAdvertisedOrElseThoseOfTheUnderlay(t *testing.T) {
	prefixes := []catalog.Prefix{
		{CIDR: netip.MustParsePrefix("10.1.0.0/16"), Kind: catalog.PodPrefix},
		{CIDR: netip.MustParsePrefix("192.0.2.0/24"), Kind: catalog.NodePrefix},
	}
	host := plan.Host{Addresses: []netip.Addr{
		netip.MustParseAddr("10.1.0.1"), netip.MustParseAddr("192.0.2.7"), netip.MustParseAddr("2001:db8::7"),
	}}
	for name, test := range map[string]struct {
		cfg                 config.Config
		known               []netip.Addr
		endpoints, controls []string
	}{
		"the underlay with node addresses, without pod addresses": {
			cfg:       config.Config{Prefixes: prefixes},
			endpoints: []string{"192.0.2.7:51820", "[2001:db8::7]:51820"},
			controls:  []string{"192.0.2.7:7443", "[2001:db8::7]:7443"},
		},
		"addresses that the cluster has come first, even if the host does not have them": {
			cfg:       config.Config{Prefixes: prefixes},
			known:     []netip.Addr{netip.MustParseAddr("198.51.100.7"), netip.MustParseAddr("2001:db8::7")},
			endpoints: []string{"198.51.100.7:51820", "[2001:db8::7]:51820", "192.0.2.7:51820"},
			controls:  []string{"198.51.100.7:7443", "[2001:db8::7]:7443", "192.0.2.7:7443"},
		},
		"the configured addresses": {
			known: []netip.Addr{netip.MustParseAddr("198.51.100.7")},
			cfg: config.Config{
				Prefixes: prefixes, WireGuard: config.WireGuard{Advertise: []string{"gw.example:1"}},
				Control: config.Control{Advertise: []string{"gw.example:2"}},
			},
			endpoints: []string{"gw.example:1"}, controls: []string{"gw.example:2"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			test.cfg.WireGuard.Port, test.cfg.Control.Listen = 51820, netip.MustParseAddrPort("[::]:7443")
			endpoints, controls := Advertisement(test.cfg, plan.Site{Prefixes: test.cfg.Prefixes, Addresses: test.known}, host)
			assert.Equal(t, test.endpoints, endpoints)
			assert.Equal(t, test.controls, controls)
		})
	}
}

func TestDepartedDatacenterStaysForTheGrace(t *testing.T) {
	east, west := catalog.Datacenter{Name: "east"}, catalog.Datacenter{Name: "west"}
	gateway := catalog.Gateway{Datacenter: "west", Name: "gw"}
	both := plan.Catalog{Datacenters: []catalog.Datacenter{east, west}, Gateways: []catalog.Gateway{gateway}}
	alone := plan.Catalog{Datacenters: []catalog.Datacenter{east}}
	var d departures
	now := time.Now()

	d, kept := d.next(now, both)
	assert.Equal(t, both, kept)
	assert.False(t, d.pending())
	for _, after := range []time.Duration{0, departureGrace - 1} {
		before := d
		d, kept = d.next(now.Add(after), alone)
		assert.Equal(t, both, kept, after)
		assert.True(t, d.pending())
		_, again := before.next(now.Add(after), alone)
		assert.Equal(t, kept, again, "departures are a value")
	}
	d, kept = d.next(now.Add(departureGrace), alone)
	assert.Equal(t, alone, kept)
	assert.False(t, d.pending())

	d, _ = d.next(now, both)
	d, _ = d.next(now, alone)
	d, kept = d.next(now, both)
	assert.Equal(t, both, kept, "a datacenter that comes back at once is listed once")
	assert.False(t, d.pending())
}

func TestDistanceIsTheShortestRoundTripOfAWindow(t *testing.T) {
	var r roundTrips
	now := time.Now()
	add := func(after, rtt time.Duration) time.Duration {
		r = r.add(now.Add(after), []plan.Session{{Gateway: "west/gw", Up: true, RTT: rtt}, {Gateway: "north/gw", RTT: time.Hour}})
		return r.longest
	}
	assert.Zero(t, add(0, 300*time.Millisecond), "load is no distance")
	assert.Zero(t, add(rttWindow/2, 20*time.Millisecond))
	assert.Equal(t, 20*time.Millisecond, add(rttWindow, 80*time.Millisecond))
	assert.Equal(t, 20*time.Millisecond, add(rttWindow+1, 150*time.Millisecond), "until the next window")
	assert.Equal(t, 150*time.Millisecond, add(2*rttWindow, 200*time.Millisecond))
}
