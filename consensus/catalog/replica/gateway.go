package replica

import (
	"fmt"
	"iter"
	"net/netip"
	"slices"

	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/catalogpb"
	"github.com/meshway/meshway/consensus/catalog/overlay"
)

// addGateway adds a gateway. A gateway that exists has returned, possibly with a
// new disk: it keeps its index and overlay address.
func (w *writer) addGateway(req request, body *catalogpb.AddGateway) (catalog.Result, *catalog.Refusal) {
	g, r := req.gateway(body.GetGateway())
	if r != nil {
		return catalog.Result{}, r
	}
	if r := w.authorizeAdd(req, g); r != nil {
		return catalog.Result{}, r
	}
	if r := w.checkGateway(g); r != nil {
		return catalog.Result{}, r.In("gateway")
	}
	if have := gateway(w.txn, g.ID()); have != nil {
		return w.replaceGateway(have, g), nil
	}
	g.Index, g.ModifiedIndex = w.freeIndex(g.Datacenter), w.index
	address, r := overlay.Address(federation(w.txn).Overlay, datacenter(w.txn, g.Datacenter).Ordinal, g.Index, w.overlayAddresses())
	if r != nil {
		return catalog.Result{}, r
	}
	g.Overlay = address
	insert(w.txn, tableGateways, &g)
	return catalog.Result{Gateway: g.Clone()}, nil
}

// gateway parses a record. A command of an earlier level has no witness: members of
// earlier builds would not store one.
func (req request) gateway(p *catalogpb.Gateway) (catalog.Gateway, *catalog.Refusal) {
	g, err := catalog.GatewayFromProto(p)
	if err != nil {
		return g, catalog.AsRefusal(err).In("gateway")
	}
	g.Witness = g.Witness && req.level >= catalog.LevelWitness
	return g, nil
}

// authorizeAdd allows the gateways of a datacenter to add its other gateways, and
// a gateway to add itself: no gateway is left to add the one that replaces the
// last gateway of its datacenter.
func (w *writer) authorizeAdd(req request, g catalog.Gateway) *catalog.Refusal {
	if req.member != nil {
		return req.checkOwner("gateway.datacenter", g.Datacenter)
	}
	if req.author != g.ID() || datacenter(w.txn, g.Datacenter) == nil {
		return unknownAuthor(req.author)
	}
	return nil
}

// freeIndex returns the lowest index that no gateway of dc has.
func (w *writer) freeIndex(dc catalog.DatacenterName) uint32 {
	var taken []uint32
	for g := range each[catalog.Gateway](w.txn, tableGateways, indexID, string(dc)) {
		taken = append(taken, g.Index)
	}
	slices.Sort(taken)
	free := uint32(0)
	for _, index := range taken {
		if index != free {
			break
		}
		free++
	}
	return free
}

// updateGateway replaces the fields of the author's record that a gateway sets
// itself; the catalog assigns index and overlay address.
func (w *writer) updateGateway(req request, body *catalogpb.UpdateGateway) (catalog.Result, *catalog.Refusal) {
	want, r := req.gateway(body.GetGateway())
	if r != nil {
		return catalog.Result{}, r
	}
	if want.ID() != req.author {
		return catalog.Result{}, &catalog.Refusal{
			Code: catalog.CodeNotOwner, Field: "gateway",
			Message: fmt.Sprintf("gateway %s cannot change gateway %s", req.author, catalog.Shorten(string(want.ID()))),
			Remedy:  "run the command on the gateway itself",
		}
	}
	if r := w.checkGateway(want); r != nil {
		return catalog.Result{}, r.In("gateway")
	}
	return w.replaceGateway(req.member, want), nil
}

// replaceGateway replaces the fields of have that a gateway sets itself.
func (w *writer) replaceGateway(have *catalog.Gateway, want catalog.Gateway) catalog.Result {
	next := *have
	next.PublicKey, next.Endpoints, next.Controls, next.Version, next.Draining, next.Signature, next.FeatureLevel =
		want.PublicKey, want.Endpoints, want.Controls, want.Version, want.Draining, want.Signature, want.FeatureLevel
	next.Witness = want.Witness
	if sameSettings(next, *have) {
		return catalog.Result{Gateway: have.Clone()}
	}
	next.ModifiedIndex = w.index
	insert(w.txn, tableGateways, &next)
	return catalog.Result{Gateway: next.Clone()}
}

// sameSettings reports whether the fields that a gateway sets itself are equal.
func sameSettings(g, o catalog.Gateway) bool {
	return g.PublicKey == o.PublicKey && g.Version == o.Version && g.FeatureLevel == o.FeatureLevel && g.Draining == o.Draining && g.Witness == o.Witness &&
		slices.Equal(g.Endpoints, o.Endpoints) && slices.Equal(g.Controls, o.Controls) && g.Signature.Equal(o.Signature)
}

// removeGateway removes a gateway with the services it owns: another gateway of
// the datacenter registers those again that still exist.
func (w *writer) removeGateway(req request, body *catalogpb.RemoveGateway) (catalog.Result, *catalog.Refusal) {
	id := catalog.GatewayID(body.GetGateway())
	g := gateway(w.txn, id)
	if g == nil {
		return catalog.Result{}, unknownGateway("gateway", id)
	}
	if r := req.checkOwner("gateway", g.Datacenter); r != nil {
		return catalog.Result{}, r
	}
	count := 0
	for range each[catalog.Gateway](w.txn, tableGateways, indexID, string(g.Datacenter)) {
		count++
	}
	if count == 1 {
		return catalog.Result{}, &catalog.Refusal{
			Code: catalog.CodeLastGateway, Field: "gateway", Message: fmt.Sprintf("gateway %s is the last gateway of its datacenter", id),
			Remedy: "remove the datacenter from the federation with meshctl leave",
		}
	}
	w.deleteGateway(g)
	return catalog.Result{}, nil
}

// deleteGateway deletes g, its services, and the observations by it and of it.
func (w *writer) deleteGateway(g *catalog.Gateway) {
	id := string(g.ID())
	remove(w.txn, tableGateways, g)
	removeAll[catalog.Service](w.txn, tableServices, indexOwner, id)
	removeAll[catalog.Observation](w.txn, tableObservations, indexID, id)
	removeAll[catalog.Observation](w.txn, tableObservations, indexPeer, id)
}

// checkGateway checks the fields that a gateway sets itself.
func (w *writer) checkGateway(g catalog.Gateway) *catalog.Refusal {
	if r := catalog.CheckName("name", g.Name); r != nil {
		return r
	}
	if r := g.PublicKey.Check(); r != nil {
		return r.In("public_key")
	}
	if other := first[catalog.Gateway](w.txn, tableGateways, indexPublicKey, string(g.PublicKey[:])); other != nil && other.ID() != g.ID() {
		return &catalog.Refusal{
			Code: catalog.CodePublicKeyTaken, Field: "public_key", Message: fmt.Sprintf("gateway %s has the same key", other.ID()),
			Remedy: "give every gateway its own key: do not copy a data directory to another host",
		}
	}
	return g.Check()
}

func unknownGateway(field string, id catalog.GatewayID) *catalog.Refusal {
	return &catalog.Refusal{
		Code: catalog.CodeUnknownGateway, Field: field, Message: fmt.Sprintf("there is no gateway %q", catalog.Shorten(string(id))),
		Remedy: "run meshctl members to list the gateways",
	}
}

// overlayAddresses returns the overlay addresses of all gateways, ascending.
func (w *writer) overlayAddresses() iter.Seq[netip.Addr] {
	return func(yield func(netip.Addr) bool) {
		for g := range each[catalog.Gateway](w.txn, tableGateways, indexOverlay) {
			if !yield(g.Overlay) {
				return
			}
		}
	}
}
