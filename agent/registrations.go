package agent

import (
	"maps"
	"slices"

	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/catalogpb"
)

// registrations is what the catalog has to say of this gateway.
type registrations struct {
	gateway      catalog.Gateway // endpoints, controls, version, public key, draining
	prefixes     []catalog.Prefix
	services     []catalog.Service
	observations []catalog.Observation
}

// missing returns the commands that make the catalog say it.
func (r registrations) missing(v *catalog.View) []*catalogpb.Command {
	have, ok := v.Gateway(r.gateway.ID())
	if !ok {
		return nil // not a member: only joining can change that
	}
	var commands []*catalogpb.Command
	if !sameGateway(r.gateway, have) {
		commands = append(commands, catalog.NewUpdateGateway(r.gateway))
	}
	if dc, ok := v.Datacenter(r.gateway.Datacenter); ok && !slices.Equal(dc.Prefixes, r.prefixes) {
		dc.Prefixes = r.prefixes
		commands = append(commands, catalog.NewUpdateDatacenter(dc))
	}
	commands = append(commands, r.missingServices(v)...)
	return append(commands, r.missingObservations(v)...)
}

func sameGateway(a, b catalog.Gateway) bool {
	return a.PublicKey == b.PublicKey && a.Version == b.Version && a.Draining == b.Draining &&
		slices.Equal(a.Endpoints, b.Endpoints) && slices.Equal(a.Controls, b.Controls)
}

// missingServices writes one command for each service, so that a refused one
// does not hold back the others.
func (r registrations) missingServices(v *catalog.View) []*catalogpb.Command {
	var commands []*catalogpb.Command
	have := map[catalog.ServiceKey]catalog.Service{}
	for _, s := range v.Services(catalog.ServiceFilter{Owner: r.gateway.ID()}) {
		have[s.ServiceKey] = s
	}
	for _, want := range r.services {
		if old, ok := have[want.ServiceKey]; !ok || !sameService(want, old) {
			commands = append(commands, catalog.NewPutServices([]catalog.Service{want}))
		}
		delete(have, want.ServiceKey)
	}
	if len(have) > 0 {
		gone := slices.SortedFunc(maps.Keys(have), compareServiceKeys)
		commands = append(commands, catalog.NewDeleteServices(gone))
	}
	return commands
}

func (r registrations) missingObservations(v *catalog.View) []*catalogpb.Command {
	have := map[catalog.GatewayID]catalog.Observation{}
	for _, o := range v.Observations() {
		if o.Observer == r.gateway.ID() {
			have[o.Peer] = o
		}
	}
	var fresh []catalog.Observation
	for _, o := range r.observations {
		if _, member := v.Gateway(o.Peer); member && have[o.Peer].Endpoint != o.Endpoint {
			fresh = append(fresh, o)
		}
	}
	if len(fresh) == 0 {
		return nil
	}
	return []*catalogpb.Command{catalog.NewPutObservations(fresh)}
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
