package plan_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/agent/plan/gatewayplan"
	"github.com/meshway/meshway/consensus/catalog"
)

// witness is the running federation in which this gateway is a witness.
func witness() plan.Inputs {
	in := running()
	in.Config.Witness, in.Config.Routing.Confine = true, true
	in.Catalog.Datacenters[0].Prefixes, in.Site = nil, plan.Site{Known: true}
	in.Catalog.Datacenters[1].Prefixes = in.Catalog.Datacenters[1].Prefixes[:1] // private
	for i := range in.Catalog.Gateways {
		in.Catalog.Gateways[i].FeatureLevel = catalog.Level
	}
	in.Catalog.Gateways[0].Witness = true
	return in
}

func TestAWitnessRoutesNoPrefixes(t *testing.T) {
	d, problems := gatewayplan.Compute(witness())
	assert.Empty(t, problems)
	overlay := witness().Catalog.Federation.Overlay
	for _, r := range d.Routes.Routes {
		assert.True(t, overlay.Overlaps(r.Prefix), "%v", r.Prefix)
	}
	assert.Empty(t, d.Routes.Groups)
	for _, tunnel := range d.Tunnels {
		for _, p := range tunnel.Peers {
			assert.Len(t, p.AllowedIPs, 1)
		}
	}
	for _, s := range d.Routes.Sysctls {
		assert.NotContains(t, s.Key, "forward")
	}
	assert.Empty(t, d.Firewall.Local)
	assert.Len(t, d.Sessions, 3, "it observes all gateways")
}

func TestAWitnessHasNoRoutesInOtherDatacenters(t *testing.T) {
	in := running()
	in.Catalog.Datacenters[1].Prefixes = nil
	in.Catalog.Gateways[1].Witness = true
	d, _ := gatewayplan.Compute(in)
	for _, tunnel := range d.Tunnels {
		for _, p := range tunnel.Peers {
			if catalog.Key(p.PublicKey) == in.Catalog.Gateways[1].PublicKey {
				assert.Len(t, p.AllowedIPs, 1)
			}
		}
	}
	reached := plan.Reach(in)
	assert.True(t, reached[1].Witness())
	assert.False(t, reached[2].Witness())
	in.Catalog.Gateways[2].Witness = true
	assert.False(t, plan.Reach(in)[2].Witness(), "another gateway of it is none")
}

func TestTheMarkOfAWitnessWaitsForOlderGateways(t *testing.T) {
	marked := func(in plan.Inputs) bool {
		d, _ := gatewayplan.Compute(in)
		return d.Registration.Gateway.Witness
	}
	assert.True(t, marked(witness()))
	ordinary := witness()
	ordinary.Config.Witness = false
	assert.False(t, marked(ordinary))
	older := witness()
	older.Catalog.Gateways[3].FeatureLevel = catalog.LevelWitness - 1
	assert.False(t, marked(older))
	older.Catalog.Settings.FeatureLevel = catalog.LevelWitness
	assert.True(t, marked(older), "the federation uses the level already")
}
