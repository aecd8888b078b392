package registrar

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/catalogpb"
	"github.com/meshway/meshway/consensus/catalog/replica"
)

// seeded returns a catalog that holds datacenter east with one gateway.
func seeded(t *testing.T, more ...*catalogpb.Command) (*replica.State, catalog.Gateway) {
	t.Helper()
	founder := newFounder(t)
	state := replica.New()
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

func byKey(services ...catalog.Service) map[catalog.ServiceKey]catalog.Service {
	m := map[catalog.ServiceKey]catalog.Service{}
	for _, s := range services {
		m[s.ServiceKey] = s
	}
	return m
}

func TestOnlyWhatTheCatalogLacksIsWritten(t *testing.T) {
	web := catalog.Service{
		ServiceKey: catalog.ServiceKey{Datacenter: "east", Namespace: "default", Name: "web", Instance: "a"},
		Owner:      "east/gw", Address: netip.MustParseAddr("10.1.0.10"), Ports: []catalog.Port{{Protocol: "tcp", Number: 80}},
	}
	state, gateway := seeded(t, catalog.NewPutServices([]catalog.Service{web}))
	dc, _ := state.View().Datacenter("east")
	complete := Desired{Gateway: gateway, Prefixes: dc.Prefixes, Services: byKey(web)}
	moved := gateway
	moved.Endpoints = []string{"203.0.113.9:51820"}
	other := web
	other.Address = netip.MustParseAddr("10.1.0.11")
	for name, test := range map[string]struct {
		want     Desired
		commands int
	}{
		"nothing":                                {complete, 0},
		"a changed endpoint":                     {Desired{Gateway: moved, Prefixes: dc.Prefixes, Services: complete.Services}, 1},
		"a changed service":                      {Desired{Gateway: gateway, Prefixes: dc.Prefixes, Services: byKey(other)}, 1},
		"a service that is no longer registered": {Desired{Gateway: gateway, Prefixes: dc.Prefixes}, 1},
		"a gateway that is not in the catalog":   {Desired{Gateway: catalog.Gateway{Datacenter: "west", Name: "gw"}}, 0},
		"an observation of a gateway that is not in the catalog": {Desired{
			Gateway: gateway, Prefixes: dc.Prefixes, Services: complete.Services,
			Observations: []catalog.Observation{{Observer: "east/gw", Peer: "west/gw", Endpoint: netip.MustParseAddrPort("203.0.113.2:1")}},
		}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			assert.Len(t, test.want.Missing(state.View(), Unsigned{}), test.commands)
		})
	}
}

// The leader refuses prefixes of a witness.
func TestPrefixesAreRemovedBeforeAGatewayIsAWitnessAndAddedAfterIt(t *testing.T) {
	state, gateway := seeded(t)
	first := func(d Desired) string {
		commands := d.Missing(state.View(), Unsigned{})
		require.Len(t, commands, 2)
		if commands[0].GetUpdateDatacenter() != nil {
			return "prefixes"
		}
		return "gateway"
	}
	gateway.Witness = true
	assert.Equal(t, "prefixes", first(Desired{Gateway: gateway}))
	gateway.Witness, gateway.Version = false, "next"
	assert.Equal(t, "gateway", first(Desired{Gateway: gateway}))
}

func TestRecordsThatAreNotSignedAreWritten(t *testing.T) {
	state, gateway := seeded(t)
	dc, _ := state.View().Datacenter("east")
	other := gateway
	other.Overlay = gateway.Overlay.Next()
	for name, test := range map[string]struct {
		gateway  catalog.Gateway
		unsigned Unsigned
		commands int
	}{
		"both are signed":           {gateway, Unsigned{}, 0},
		"the gateway is not signed": {gateway, Unsigned{Gateway: true}, 1},
		"neither is signed":         {gateway, Unsigned{Gateway: true, Datacenter: true}, 2},
		"the catalog has another overlay address than the one that was accepted": {other, Unsigned{Gateway: true}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			desired := Desired{Gateway: test.gateway, Prefixes: dc.Prefixes}
			assert.Len(t, desired.Missing(state.View(), test.unsigned), test.commands)
		})
	}
}
