package replica

import (
	"bytes"
	"fmt"
	"slices"
	"time"

	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/agreement"
	"github.com/meshway/meshway/consensus/catalog/catalogpb"
	"github.com/meshway/meshway/consensus/catalog/jointoken"
	"github.com/meshway/meshway/consensus/catalog/overlay"
	"github.com/meshway/meshway/consensus/catalog/ranges"
	"github.com/meshway/meshway/consensus/catalog/succession"
)

// firstOrdinal is 1 because 0 means that no ordinal is assigned.
const firstOrdinal = 1

// initialize creates the federation. The author is not a member before it, and the
// first member after it.
func (w *writer) initialize(req request, body *catalogpb.Init) (catalog.Result, *catalog.Refusal) {
	if f := federation(w.txn); f != nil {
		return catalog.Result{}, &catalog.Refusal{
			Code: catalog.CodeInitialized, Field: "federation", Message: fmt.Sprintf("federation %q already exists", f.Name),
			Remedy: "join it with meshctl join, or leave it first with meshctl leave",
		}
	}
	f, err := catalog.FederationFromProto(body.GetFederation())
	if err != nil {
		return catalog.Result{}, catalog.AsRefusal(err).In("federation")
	}
	f.CreatedAt, f.NextOrdinal = req.at, firstOrdinal
	if r := f.Check(); r != nil {
		return catalog.Result{}, r.In("federation")
	}
	a, r := req.admission(body.GetDatacenter(), body.GetGateway())
	if r != nil {
		return catalog.Result{}, r
	}
	if a.gateway.ID() != req.author {
		return catalog.Result{}, &catalog.Refusal{
			Code: catalog.CodeNotOwner, Field: "gateway", Message: fmt.Sprintf("the author is not gateway %s", a.gateway.ID()),
			Remedy: "run init on the gateway itself",
		}
	}
	return w.admit(f, a, req.at)
}

// join admits a datacenter: it uses up the token and takes name, prefixes, keys
// and addresses together, or changes nothing.
func (w *writer) join(req request, body *catalogpb.Join) (catalog.Result, *catalog.Refusal) {
	f := federation(w.txn)
	if body.GetFederationId() != f.ID {
		return catalog.Result{}, &catalog.Refusal{
			Code: catalog.CodeFederationDiffers, Field: "federation_id",
			Message: fmt.Sprintf("the token is for federation %q, this is federation %s", catalog.Shorten(body.GetFederationId()), f.ID),
			Remedy:  "use a token that a member of that federation created",
		}
	}
	t, r := w.authenticateToken(body)
	if r != nil {
		return catalog.Result{}, r
	}
	a, r := req.admission(body.GetDatacenter(), body.GetGateway())
	if r != nil {
		return catalog.Result{}, r
	}
	if result, repeated := w.repeatedJoin(req, t, a); repeated {
		return result, nil
	}
	if r := jointoken.CheckUsable(*t, req.at); r != nil {
		return catalog.Result{}, r
	}
	if t.Datacenter != "" && t.Datacenter != a.datacenter.Name {
		return catalog.Result{}, &catalog.Refusal{
			Code: catalog.CodeTokenBound, Field: "token",
			Message: fmt.Sprintf("the token is for datacenter %q, not %q", t.Datacenter, catalog.Shorten(string(a.datacenter.Name))),
			Remedy:  "join under that name, or use another token",
		}
	}
	next := *f
	if ordinal := body.GetOrdinal(); ordinal != 0 && req.level >= catalog.LevelOrdinal {
		if ordinal > catalog.MaxOrdinal || ordinals(w.txn)[ordinal] {
			return catalog.Result{}, catalog.Malformed("ordinal", fmt.Sprintf("ordinal %d is not free", ordinal))
		}
		next.NextOrdinal = ordinal
	}
	result, r := w.admit(next, a, req.at)
	if r != nil {
		return catalog.Result{}, r
	}
	used := *t
	used.UsedBy, used.UsedAt = a.datacenter.Name, req.at
	insert(w.txn, tableTokens, &used)
	return result, nil
}

// repeatedJoin returns the result of a join that is repeated because its response
// was lost: the datacenter is a member already, and its own name would be refused
// as taken. The repetition must have the names, keys, certificate and prefixes of the
// first join, and the token must not have expired.
func (w *writer) repeatedJoin(req request, t *catalog.Token, a admission) (catalog.Result, bool) {
	dc, g := datacenter(w.txn, a.datacenter.Name), gateway(w.txn, a.gateway.ID())
	repeated := dc != nil && g != nil && t.UsedBy == dc.Name && req.at.Before(t.ExpiresAt) &&
		t.UsedAt.Equal(dc.JoinedAt) && g.PublicKey == a.gateway.PublicKey &&
		bytes.Equal(dc.CACertificate, a.datacenter.CACertificate) &&
		slices.Equal(dc.Prefixes, a.datacenter.Prefixes)
	if !repeated {
		return catalog.Result{}, false
	}
	return catalog.Result{Datacenter: dc.Clone(), Gateway: g.Clone()}, true
}

// admission is a datacenter that becomes a member with its first gateway.
type admission struct {
	datacenter catalog.Datacenter
	gateway    catalog.Gateway
}

// admission parses the records of a datacenter that becomes a member.
func (req request) admission(d *catalogpb.Datacenter, g *catalogpb.Gateway) (admission, *catalog.Refusal) {
	dc, err := catalog.DatacenterFromProto(d)
	if err != nil {
		return admission{}, catalog.AsRefusal(err)
	}
	gw, r := req.gateway(g)
	if r != nil {
		return admission{}, r
	}
	if gw.Datacenter != "" && gw.Datacenter != dc.Name {
		return admission{}, catalog.Malformed("gateway.datacenter", "the gateway is not of the datacenter that joins")
	}
	gw.Datacenter, dc.Successions = dc.Name, nil // a CA is first seen without them
	return admission{dc, gw}, nil
}

// admit assigns ordinal, index and overlay address and stores the datacenter, its
// gateway, and f with the next ordinal.
func (w *writer) admit(f catalog.Federation, a admission, at time.Time) (catalog.Result, *catalog.Refusal) {
	if r := w.checkAdmission(f, a); r != nil {
		return catalog.Result{}, r
	}
	dc, g := a.datacenter, a.gateway
	dc.Ordinal, dc.JoinedAt, dc.ModifiedIndex = f.NextOrdinal, at, w.index
	g.Index, g.ModifiedIndex = 0, w.index
	address, r := overlay.Address(f.Overlay, dc.Ordinal, g.Index, w.overlayAddresses())
	if r != nil {
		return catalog.Result{}, r
	}
	g.Overlay = address
	f.NextOrdinal++
	insert(w.txn, tableFederation, &f)
	insert(w.txn, tableDatacenters, &dc)
	insert(w.txn, tableGateways, &g)
	return catalog.Result{Datacenter: dc.Clone(), Gateway: g.Clone()}, nil
}

func (w *writer) checkAdmission(f catalog.Federation, a admission) *catalog.Refusal {
	dc := a.datacenter
	if r := catalog.CheckName("datacenter", string(dc.Name)); r != nil {
		return r
	}
	if taken := datacenter(w.txn, dc.Name); taken != nil {
		return &catalog.Refusal{
			Code: catalog.CodeNameTaken, Field: "datacenter",
			Message: fmt.Sprintf("a datacenter %q joined at %s", dc.Name, taken.JoinedAt.Format(time.RFC3339)),
			Remedy:  "choose another name, or run meshctl leave in that datacenter first",
		}
	}
	if r := catalog.CheckPrefixes(dc.Prefixes); r != nil {
		return r
	}
	if r := w.checkPrefixesFree(dc.Name, f.Overlay, dc.Prefixes); r != nil {
		return r
	}
	if r := dc.Signature.Check(); r != nil {
		return r
	}
	if r := w.checkCertificate(dc.CACertificate); r != nil {
		return r
	}
	return w.checkGateway(a.gateway).In("gateway")
}

// leave removes the author's datacenter. The tokens that it created stay, because
// they belong to the federation. When the last datacenter leaves, the federation
// ceases to exist and the catalog is empty.
func (w *writer) leave(req request, body *catalogpb.Leave) (catalog.Result, *catalog.Refusal) {
	name := catalog.DatacenterName(body.GetDatacenter())
	if r := req.checkOwner("datacenter", name); r != nil {
		return catalog.Result{}, r
	}
	w.deleteDatacenter(datacenter(w.txn, name))
	for range each[catalog.Datacenter](w.txn, tableDatacenters, indexID) {
		return catalog.Result{}, nil
	}
	removeAll[catalog.Token](w.txn, tableTokens, indexID)
	removeAll[catalog.Settings](w.txn, tableSettings, indexID)
	removeAll[catalog.Federation](w.txn, tableFederation, indexID)
	return catalog.Result{}, nil
}

// deleteDatacenter deletes dc with all records that belong to it, which frees its
// name and its prefixes.
func (w *writer) deleteDatacenter(dc *catalog.Datacenter) {
	name := string(dc.Name)
	for g := range each[catalog.Gateway](w.txn, tableGateways, indexID, name) {
		w.deleteGateway(g) // and its services: every service is owned by a gateway
	}
	removeAll[catalog.Export](w.txn, tableExports, indexID, name)
	removeAll[catalog.EndpointSlice](w.txn, tableEndpoints, indexID, name)
	s := settings(w.txn)
	w.setSettings(s, agreement.Without(s, dc.Name))
	remove(w.txn, tableDatacenters, dc)
}

// updateDatacenter replaces the prefixes, and from LevelSuccession on the CA. It deletes services and endpoint slices
// with an address outside the new prefixes, because no packet can reach it.
func (w *writer) updateDatacenter(req request, body *catalogpb.UpdateDatacenter) (catalog.Result, *catalog.Refusal) {
	want, err := catalog.DatacenterFromProto(body.GetDatacenter())
	if err != nil {
		return catalog.Result{}, catalog.AsRefusal(err)
	}
	if r := req.checkOwner("datacenter", want.Name); r != nil {
		return catalog.Result{}, r
	}
	have := datacenter(w.txn, want.Name)
	replaced, r := succession.Check(req.level, *have, &want)
	if r == nil && replaced {
		r = w.checkCertificate(want.CACertificate)
	}
	if r != nil {
		return catalog.Result{}, r
	}
	if r := catalog.CheckPrefixes(want.Prefixes); r != nil {
		return catalog.Result{}, r
	}
	if r := w.checkPrefixesFree(want.Name, federation(w.txn).Overlay, want.Prefixes); r != nil {
		return catalog.Result{}, r
	}
	if r := want.Signature.Check(); r != nil {
		return catalog.Result{}, r
	}
	if slices.Equal(want.Prefixes, have.Prefixes) && want.Signature.Equal(have.Signature) && succession.Same(want, *have) {
		return catalog.Result{Datacenter: have.Clone()}, nil
	}
	next := *have
	next.Prefixes, next.Signature, next.ModifiedIndex = want.Prefixes, want.Signature, w.index
	next.CACertificate, next.Successions = want.CACertificate, want.Successions
	insert(w.txn, tableDatacenters, &next)
	if announced := ranges.Of(next.Prefixes); !announced.Cover(have.Prefixes) {
		w.deleteForeign(next.Name, announced)
	}
	return catalog.Result{Datacenter: next.Clone()}, nil
}

// deleteForeign removes the services and the slices of a datacenter with an address that
// it does not announce. The exporter writes the remaining endpoints of these slices again.
func (w *writer) deleteForeign(dc catalog.DatacenterName, announced ranges.Set) {
	for s := range each[catalog.Service](w.txn, tableServices, indexID, string(dc)) {
		if !announced.Contain(s.Address) {
			remove(w.txn, tableServices, s)
		}
	}
	for s := range each[catalog.EndpointSlice](w.txn, tableEndpoints, indexID, string(dc)) {
		if slices.ContainsFunc(s.Endpoints, func(e catalog.Endpoint) bool { return !announced.Contain(e.Address) }) {
			remove(w.txn, tableEndpoints, s)
		}
	}
}
