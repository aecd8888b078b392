package registrar

import (
	"maps"
	"slices"

	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/catalogpb"
	"github.com/meshway/meshway/consensus/catalog/replica"
)

// Desired is what the catalog should contain about one gateway.
type Desired struct {
	Gateway      catalog.Gateway // endpoints, controls, version, feature level, public key, draining, witness
	Prefixes     []catalog.Prefix
	Services     map[catalog.ServiceKey]catalog.Service
	Writing      map[catalog.ServiceKey]bool // that callers write, so that they are not missing
	Observations []catalog.Observation
}

// Unsigned is which records need a signature of this gateway.
type Unsigned struct {
	Gateway    bool
	Datacenter bool
}

// Missing returns the commands that turn what v contains into what is desired;
// none if v does not have the gateway, since only joining adds it. The records in
// them are not signed yet.
func (d Desired) Missing(v *replica.View, unsigned Unsigned) []*catalogpb.Command {
	have, ok := v.Gateway(d.Gateway.ID())
	if !ok {
		return nil
	}
	var commands []*catalogpb.Command
	// A signature covers what the catalog assigned. If that is not what this gateway
	// has accepted, no signature helps.
	sign := unsigned.Gateway && d.Gateway.Index == have.Index && d.Gateway.Overlay == have.Overlay
	if sign || !sameGateway(d.Gateway, have) {
		g := d.Gateway
		g.Signature = catalog.Signature{}
		commands = append(commands, catalog.NewUpdateGateway(g))
	}
	if dc, ok := v.Datacenter(d.Gateway.Datacenter); ok && (unsigned.Datacenter || !slices.Equal(dc.Prefixes, d.Prefixes)) {
		dc.Prefixes = d.Prefixes
		commands = append(commands, catalog.NewUpdateDatacenter(dc))
		if d.Gateway.Witness { // it has none first
			slices.Reverse(commands)
		}
	}
	commands = append(commands, d.missingServices(v)...)
	return append(commands, d.missingObservations(v)...)
}

func sameGateway(a, b catalog.Gateway) bool {
	return a.PublicKey == b.PublicKey && a.Version == b.Version && a.FeatureLevel == b.FeatureLevel && a.Draining == b.Draining && a.Witness == b.Witness &&
		slices.Equal(a.Endpoints, b.Endpoints) && slices.Equal(a.Controls, b.Controls)
}

// missingServices returns one command for each service to write, so that a
// refused one does not hold back the others.
func (d Desired) missingServices(v *replica.View) []*catalogpb.Command {
	have := map[catalog.ServiceKey]catalog.Service{}
	for _, s := range v.Services(replica.ServiceFilter{Owner: d.Gateway.ID()}) {
		have[s.ServiceKey] = s
	}
	var missing []catalog.ServiceKey
	for key, want := range d.Services {
		if old, ok := have[key]; !d.Writing[key] && (!ok || !sameService(want, old)) {
			missing = append(missing, key)
		}
		delete(have, key)
	}
	slices.SortFunc(missing, compareServiceKeys)
	var commands []*catalogpb.Command
	for _, key := range missing {
		commands = append(commands, catalog.NewPutServices([]catalog.Service{d.Services[key]}))
	}
	maps.DeleteFunc(have, func(key catalog.ServiceKey, _ catalog.Service) bool { return d.Writing[key] })
	if len(have) > 0 {
		obsolete := slices.SortedFunc(maps.Keys(have), compareServiceKeys)
		commands = append(commands, catalog.NewDeleteServices(obsolete))
	}
	return commands
}

func (d Desired) missingObservations(v *replica.View) []*catalogpb.Command {
	have := map[catalog.GatewayID]catalog.Observation{}
	for _, o := range v.ObservationsBy(d.Gateway.ID()) {
		have[o.Peer] = o
	}
	var changed []catalog.Observation
	for _, o := range d.Observations {
		if _, member := v.Gateway(o.Peer); member && have[o.Peer].Endpoint != o.Endpoint {
			changed = append(changed, o)
		}
	}
	if len(changed) == 0 {
		return nil
	}
	return []*catalogpb.Command{catalog.NewPutObservations(changed)}
}

func sameService(a, b catalog.Service) bool {
	return a.ServiceKey == b.ServiceKey && a.Owner == b.Owner && a.Address == b.Address &&
		slices.Equal(a.Ports, b.Ports) && maps.Equal(a.Labels, b.Labels)
}

func compareServiceKeys(a, b catalog.ServiceKey) int {
	return slices.Compare(
		[]string{string(a.Datacenter), a.Namespace, a.Name, a.Instance},
		[]string{string(b.Datacenter), b.Namespace, b.Name, b.Instance})
}
