package admin

import (
	"github.com/meshway/meshway/agent/control/controlpb"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/replica"
)

// exportedServices returns the exports that f selects, with the numbers of their
// endpoints.
func exportedServices(view *replica.View, f replica.ExportFilter) []*controlpb.ExportedService {
	var list []*controlpb.ExportedService
	byKey := make(map[catalog.ExportKey]*controlpb.ExportedService)
	for _, e := range view.Exports(f) {
		exported := &controlpb.ExportedService{Export: e.Proto()}
		list, byKey[e.ExportKey] = append(list, exported), exported
	}
	for _, s := range view.EndpointSlices(f) {
		exported := byKey[s.ExportKey]
		for _, e := range s.Endpoints {
			exported.Endpoints++
			if e.Ready {
				exported.Ready++
			}
		}
	}
	return list
}
