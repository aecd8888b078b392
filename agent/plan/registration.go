package plan

import "github.com/meshway/meshway/consensus/catalog"

// Registration is what the catalog should contain about this gateway and, if
// all its gateways agree, about its datacenter.
type Registration struct {
	// Known is false until the addresses of this host and the prefixes of the
	// datacenter have been read; Gateway and Prefixes are not valid then.
	Known        bool
	Gateway      catalog.Gateway
	Prefixes     []catalog.Prefix
	Observations []catalog.Observation // the endpoints at which this gateway sees others
}

// registration derives the record of this gateway from its host: its addresses
// may have changed since it joined.
func registration(in Inputs, topo topology) Registration {
	r := Registration{Observations: observations(in, topo)}
	if !in.Site.Known || !in.Synced.Host {
		return r
	}
	r.Known, r.Gateway, r.Prefixes = true, topo.self, in.Site.Prefixes
	r.Gateway.Endpoints, r.Gateway.Controls = Advertisement(in.Config, in.Site, in.Host)
	r.Gateway.PublicKey, r.Gateway.Version, r.Gateway.FeatureLevel = catalog.Key(in.PublicKey), in.Version, catalog.Level
	r.Gateway.Draining = in.Drain != Active
	// The leader refuses the mark while a gateway does not support it.
	supported := max(in.Catalog.Settings.FeatureLevel, catalog.LevelsOf(in.Catalog.Gateways).Common) >= catalog.LevelWitness
	r.Gateway.Witness = in.Config.Witness && supported
	return r
}
