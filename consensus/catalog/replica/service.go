package replica

import (
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/catalogpb"
)

// putServices registers services, all of the command or none.
func (w *writer) putServices(req request, body *catalogpb.PutServices) (catalog.Result, *catalog.Refusal) {
	services, r := readAll("services", body.GetServices(), catalog.ServiceFromProto, func(s *catalog.Service) *catalog.Refusal {
		if s.Owner == "" {
			s.Owner = req.author
		}
		return w.checkService(req, *s)
	})
	if r != nil {
		return catalog.Result{}, r
	}
	for _, s := range services {
		if have := service(w.txn, s.ServiceKey); have != nil && have.Equal(*s) {
			continue // ModifiedIndex stays, so that readers can skip the record
		}
		s.ModifiedIndex = w.index
		insert(w.txn, tableServices, s)
	}
	return catalog.Result{}, nil
}

func (w *writer) checkService(req request, s catalog.Service) *catalog.Refusal {
	if r := req.checkOwner("datacenter", s.Datacenter); r != nil {
		return r
	}
	if r := s.ServiceKey.Check(); r != nil {
		return r
	}
	owner := gateway(w.txn, s.Owner)
	if owner == nil {
		return unknownGateway("owner", s.Owner)
	}
	if r := req.checkOwner("owner", owner.Datacenter); r != nil {
		return r
	}
	if r := datacenter(w.txn, s.Datacenter).CheckAddress(s.Address); r != nil {
		return r
	}
	return s.Check()
}

func (w *writer) deleteServices(req request, body *catalogpb.DeleteServices) (catalog.Result, *catalog.Refusal) {
	if r := checkOwners(req, "services", body.GetServices()); r != nil {
		return catalog.Result{}, r
	}
	for _, p := range body.GetServices() {
		if s := service(w.txn, catalog.ServiceKeyFromProto(p)); s != nil {
			remove(w.txn, tableServices, s)
		}
	}
	return catalog.Result{}, nil
}
