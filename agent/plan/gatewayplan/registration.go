package gatewayplan

import (
	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/consensus/catalog"
)

// registration derives the record of this gateway from its host: its addresses
// may have changed since it joined.
func registration(in plan.Inputs, topo topology) plan.Registration {
	r := plan.Registration{Observations: observations(in, topo)}
	if !in.Site.Known || !in.Synced.Host {
		return r
	}
	r.Known, r.Gateway, r.Prefixes = true, topo.self, in.Site.Prefixes
	r.Gateway.Endpoints, r.Gateway.Controls = plan.Advertisement(in.Config, in.Site, in.Host)
	r.Gateway.PublicKey, r.Gateway.Version, r.Gateway.FeatureLevel = catalog.Key(in.PublicKey), in.Version, catalog.Level
	r.Gateway.Draining = in.Drain != plan.Active
	// The leader refuses the mark while a gateway does not support it.
	supported := max(in.Catalog.Settings.FeatureLevel, catalog.LevelsOf(in.Catalog.Gateways).Common) >= catalog.LevelWitness
	r.Gateway.Witness = in.Config.Witness && supported
	return r
}
