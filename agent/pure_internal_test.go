package agent

import (
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/agent/config"
	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/catalogpb"
)

func TestAdvertisementIsWhatIsConfiguredElseTheUnderlay(t *testing.T) {
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
		"the underlay, node addresses included, pods not": {
			cfg:       config.Config{Prefixes: prefixes},
			endpoints: []string{"192.0.2.7:51820", "[2001:db8::7]:51820"},
			controls:  []string{"192.0.2.7:7443", "[2001:db8::7]:7443"},
		},
		"what the cluster knows first, also if the host has it not": {
			cfg:       config.Config{Prefixes: prefixes},
			known:     []netip.Addr{netip.MustParseAddr("198.51.100.7"), netip.MustParseAddr("2001:db8::7")},
			endpoints: []string{"198.51.100.7:51820", "[2001:db8::7]:51820", "192.0.2.7:51820"},
			controls:  []string{"198.51.100.7:7443", "[2001:db8::7]:7443", "192.0.2.7:7443"},
		},
		"what is configured": {
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
			endpoints, controls := advertisement(test.cfg, plan.Site{Prefixes: test.cfg.Prefixes, Addresses: test.known}, host)
			assert.Equal(t, test.endpoints, endpoints)
			assert.Equal(t, test.controls, controls)
		})
	}
}

func TestADatacenterThatLeftStaysUntilItsAnswerHasTravelled(t *testing.T) {
	east, west := catalog.Datacenter{Name: "east"}, catalog.Datacenter{Name: "west"}
	gateway := catalog.Gateway{Datacenter: "west", Name: "gw"}
	both := plan.Catalog{Datacenters: []catalog.Datacenter{east, west}, Gateways: []catalog.Gateway{gateway}}
	alone := plan.Catalog{Datacenters: []catalog.Datacenter{east}}
	var d departures
	now := time.Now()

	kept, lingering := d.keep(now, both)
	assert.Equal(t, both, kept)
	assert.False(t, lingering)
	for _, after := range []time.Duration{0, departureGrace - 1} {
		kept, lingering = d.keep(now.Add(after), alone)
		assert.Equal(t, both, kept, after)
		assert.True(t, lingering)
	}
	kept, lingering = d.keep(now.Add(departureGrace), alone)
	assert.Equal(t, alone, kept)
	assert.False(t, lingering)

	d.keep(now, both)
	d.keep(now, alone)
	kept, lingering = d.keep(now, both)
	assert.Equal(t, both, kept, "who comes back at once is there once")
	assert.False(t, lingering)
}

func TestTheDistanceIsTheLeastRoundTripOfAWindow(t *testing.T) {
	var r roundTrips
	now := time.Now()
	session := func(rtt time.Duration) []plan.Session {
		return []plan.Session{{Gateway: "west/gw", Up: true, RTT: rtt}, {Gateway: "north/gw", RTT: time.Hour}}
	}
	assert.Zero(t, r.observe(now, session(300*time.Millisecond)), "load is no distance")
	assert.Zero(t, r.observe(now.Add(rttWindow/2), session(20*time.Millisecond)))
	assert.Equal(t, 20*time.Millisecond, r.observe(now.Add(rttWindow), session(80*time.Millisecond)))
	assert.Equal(t, 20*time.Millisecond, r.observe(now.Add(rttWindow+1), session(150*time.Millisecond)), "until the next window")
	assert.Equal(t, 150*time.Millisecond, r.observe(now.Add(2*rttWindow), session(200*time.Millisecond)))
}

// seeded returns a catalog that holds datacenter east with one gateway.
func seeded(t *testing.T, more ...*catalogpb.Command) (*catalog.State, catalog.Gateway) {
	t.Helper()
	founder := newFounder(t)
	state := catalog.New()
	commands := append([]*catalogpb.Command{catalog.NewInit(founder.federation, founder.datacenter, founder.gateway)}, more...)
	for i, c := range commands {
		c.Author, c.At = "east/gw", founder.at
		entry, err := catalog.Marshal(c)
		require.NoError(t, err)
		results, err := state.Apply(uint64(i+1), entry)
		require.NoError(t, err)
		require.Nil(t, results[0].Refusal)
	}
	gateway, ok := state.View().Gateway("east/gw")
	require.True(t, ok)
	return state, gateway
}

func TestRegistrationsAskOnlyForWhatIsMissing(t *testing.T) {
	web := catalog.Service{
		ServiceKey: catalog.ServiceKey{Datacenter: "east", Namespace: "default", Name: "web", Instance: "a"},
		Owner:      "east/gw", Address: netip.MustParseAddr("10.1.0.10"), Ports: []catalog.Port{{Protocol: "tcp", Number: 80}},
	}
	state, gateway := seeded(t, catalog.NewPutServices([]catalog.Service{web}))
	dc, _ := state.View().Datacenter("east")
	settled := registrations{gateway: gateway, prefixes: dc.Prefixes, services: []catalog.Service{web}}
	moved := gateway
	moved.Endpoints = []string{"203.0.113.9:51820"}
	other := web
	other.Address = netip.MustParseAddr("10.1.0.11")
	for name, test := range map[string]struct {
		want     registrations
		commands int
	}{
		"nothing":                {settled, 0},
		"a changed endpoint":     {registrations{gateway: moved, prefixes: dc.Prefixes, services: settled.services}, 1},
		"a changed service":      {registrations{gateway: gateway, prefixes: dc.Prefixes, services: []catalog.Service{other}}, 1},
		"a service that is gone": {registrations{gateway: gateway, prefixes: dc.Prefixes}, 1},
		"no member, no word":     {registrations{gateway: catalog.Gateway{Datacenter: "west", Name: "gw"}}, 0},
		"an observation of a stranger": {registrations{
			gateway: gateway, prefixes: dc.Prefixes, services: settled.services,
			observations: []catalog.Observation{{Observer: "east/gw", Peer: "west/gw", Endpoint: netip.MustParseAddrPort("203.0.113.2:1")}},
		}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			assert.Len(t, test.want.missing(state.View()), test.commands)
		})
	}
}
