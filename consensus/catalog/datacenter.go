package catalog

import (
	"bytes"
	"fmt"
	"slices"
	"time"

	"github.com/meshway/meshway/consensus/catalog/catalogpb"
)

// firstOrdinal is 1 because 0 means that no ordinal is assigned.
const firstOrdinal = 1

// initialize creates the federation. The author is not a member before it, and the
// first member after it.
func (w *writer) initialize(req request, body *catalogpb.Init) (Result, *Refusal) {
	if f := federation(w.txn); f != nil {
		return Result{}, &Refusal{
			Code: CodeInitialized, Field: "federation", Message: fmt.Sprintf("federation %q already exists", f.Name),
			Remedy: "join it with meshctl join, or leave it first with meshctl leave",
		}
	}
	f, err := FederationFromProto(body.GetFederation())
	if err != nil {
		return Result{}, asRefusal(err).in("federation")
	}
	f.CreatedAt, f.NextOrdinal = req.at, firstOrdinal
	if r := checkFederation(f); r != nil {
		return Result{}, r.in("federation")
	}
	a, r := admissionFromProto(body.GetDatacenter(), body.GetGateway())
	if r != nil {
		return Result{}, r
	}
	if a.gateway.ID() != req.author {
		return Result{}, &Refusal{
			Code: CodeNotOwner, Field: "gateway", Message: fmt.Sprintf("the author is not gateway %s", a.gateway.ID()),
			Remedy: "run init on the gateway itself",
		}
	}
	return w.admit(f, a, req.at)
}

// join admits a datacenter: it uses up the token and takes name, prefixes, keys
// and addresses together, or changes nothing.
func (w *writer) join(req request, body *catalogpb.Join) (Result, *Refusal) {
	f := federation(w.txn)
	if body.GetFederationId() != f.ID {
		return Result{}, &Refusal{
			Code: CodeFederationDiffers, Field: "federation_id",
			Message: fmt.Sprintf("the token is for federation %q, this is federation %s", shorten(body.GetFederationId()), f.ID),
			Remedy:  "use a token that a member of that federation created",
		}
	}
	t, r := w.authenticateToken(body)
	if r != nil {
		return Result{}, r
	}
	a, r := admissionFromProto(body.GetDatacenter(), body.GetGateway())
	if r != nil {
		return Result{}, r
	}
	if result, repeated := w.repeatedJoin(req, t, a); repeated {
		return result, nil
	}
	if r := t.checkUsable(req.at); r != nil {
		return Result{}, r
	}
	if t.Datacenter != "" && t.Datacenter != a.datacenter.Name {
		return Result{}, &Refusal{
			Code: CodeTokenBound, Field: "token",
			Message: fmt.Sprintf("the token is for datacenter %q, not %q", t.Datacenter, shorten(string(a.datacenter.Name))),
			Remedy:  "join under that name, or use another token",
		}
	}
	result, r := w.admit(*f, a, req.at)
	if r != nil {
		return Result{}, r
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
func (w *writer) repeatedJoin(req request, t *Token, a admission) (Result, bool) {
	dc, g := datacenter(w.txn, a.datacenter.Name), gateway(w.txn, a.gateway.ID())
	repeated := dc != nil && g != nil && t.UsedBy == dc.Name && req.at.Before(t.ExpiresAt) &&
		t.UsedAt.Equal(dc.JoinedAt) && g.PublicKey == a.gateway.PublicKey &&
		bytes.Equal(dc.CACertificate, a.datacenter.CACertificate) &&
		slices.Equal(dc.Prefixes, a.datacenter.Prefixes)
	if !repeated {
		return Result{}, false
	}
	return Result{Datacenter: dc.Clone(), Gateway: g.Clone()}, true
}

// admission is a datacenter that becomes a member with its first gateway.
type admission struct {
	datacenter Datacenter
	gateway    Gateway
}

func admissionFromProto(d *catalogpb.Datacenter, g *catalogpb.Gateway) (admission, *Refusal) {
	dc, err := DatacenterFromProto(d)
	if err != nil {
		return admission{}, asRefusal(err)
	}
	gw, err := GatewayFromProto(g)
	if err != nil {
		return admission{}, asRefusal(err).in("gateway")
	}
	if gw.Datacenter != "" && gw.Datacenter != dc.Name {
		return admission{}, malformed("gateway.datacenter", "the gateway is not of the datacenter that joins")
	}
	gw.Datacenter = dc.Name
	return admission{dc, gw}, nil
}

// admit assigns ordinal, index and overlay address and stores the datacenter, its
// gateway, and f with the next ordinal.
func (w *writer) admit(f Federation, a admission, at time.Time) (Result, *Refusal) {
	if r := w.checkAdmission(f, a); r != nil {
		return Result{}, r
	}
	dc, g := a.datacenter, a.gateway
	dc.Ordinal, dc.JoinedAt, dc.ModifiedIndex = f.NextOrdinal, at, w.index
	g.Index, g.ModifiedIndex = 0, w.index
	overlay, r := w.overlayAddress(f.Overlay, dc.Ordinal, g.Index)
	if r != nil {
		return Result{}, r
	}
	g.Overlay = overlay
	f.NextOrdinal++
	insert(w.txn, tableFederation, &f)
	insert(w.txn, tableDatacenters, &dc)
	insert(w.txn, tableGateways, &g)
	return Result{Datacenter: dc.Clone(), Gateway: g.Clone()}, nil
}

func (w *writer) checkAdmission(f Federation, a admission) *Refusal {
	dc := a.datacenter
	if r := checkName("datacenter", string(dc.Name)); r != nil {
		return r
	}
	if taken := datacenter(w.txn, dc.Name); taken != nil {
		return &Refusal{
			Code: CodeNameTaken, Field: "datacenter",
			Message: fmt.Sprintf("a datacenter %q joined at %s", dc.Name, taken.JoinedAt.Format(time.RFC3339)),
			Remedy:  "choose another name, or run meshctl leave in that datacenter first",
		}
	}
	if r := checkPrefixes("prefixes", dc.Prefixes); r != nil {
		return r
	}
	if r := w.checkPrefixesFree(dc.Name, f.Overlay, dc.Prefixes); r != nil {
		return r
	}
	if r := checkSignature(dc.Signature); r != nil {
		return r
	}
	if r := w.checkCertificate(dc.CACertificate); r != nil {
		return r
	}
	return w.checkGateway(a.gateway).in("gateway")
}

func checkFederation(f Federation) *Refusal {
	if !isUUID(f.ID) {
		return &Refusal{
			Code: CodeFederationInvalid, Field: "id", Message: fmt.Sprintf("%q is not a UUID", shorten(f.ID)),
			Remedy: "use lower-case hexadecimal: 123e4567-e89b-12d3-a456-426614174000",
		}
	}
	if r := checkName("name", f.Name); r != nil {
		return r
	}
	return checkOverlay("overlay", f.Overlay)
}

// leave removes the author's datacenter. The tokens that it created stay, because
// they belong to the federation. When the last datacenter leaves, the federation
// ceases to exist and the catalog is empty.
func (w *writer) leave(req request, body *catalogpb.Leave) (Result, *Refusal) {
	name := DatacenterName(body.GetDatacenter())
	if r := req.checkOwner("datacenter", name); r != nil {
		return Result{}, r
	}
	w.deleteDatacenter(datacenter(w.txn, name))
	for range each[Datacenter](w.txn, tableDatacenters, indexID) {
		return Result{}, nil
	}
	removeAll(w.txn, tableTokens, indexID)
	removeAll(w.txn, tableFederation, indexID)
	return Result{}, nil
}

// deleteDatacenter deletes dc with all records that belong to it, which frees its
// name and its prefixes.
func (w *writer) deleteDatacenter(dc *Datacenter) {
	name := string(dc.Name)
	for g := range each[Gateway](w.txn, tableGateways, indexID, name) {
		w.deleteGateway(g) // and its services: every service is owned by a gateway
	}
	removeAll(w.txn, tableExports, indexID, name)
	removeAll(w.txn, tableEndpoints, indexID, name)
	remove(w.txn, tableDatacenters, dc)
}

// updateDatacenter replaces the prefixes. It deletes services and endpoint slices
// with an address outside the new prefixes, because no packet can reach it.
func (w *writer) updateDatacenter(req request, body *catalogpb.UpdateDatacenter) (Result, *Refusal) {
	want, err := DatacenterFromProto(body.GetDatacenter())
	if err != nil {
		return Result{}, asRefusal(err)
	}
	if r := req.checkOwner("datacenter", want.Name); r != nil {
		return Result{}, r
	}
	have := datacenter(w.txn, want.Name)
	if len(want.CACertificate) > 0 && !bytes.Equal(want.CACertificate, have.CACertificate) {
		return Result{}, &Refusal{
			Code: CodeCertificateFixed, Field: "ca_certificate", Message: "the CA certificate of a member cannot change",
			Remedy: "leave the federation and join it again with the new certificate",
		}
	}
	if r := checkPrefixes("prefixes", want.Prefixes); r != nil {
		return Result{}, r
	}
	if r := w.checkPrefixesFree(want.Name, federation(w.txn).Overlay, want.Prefixes); r != nil {
		return Result{}, r
	}
	if r := checkSignature(want.Signature); r != nil {
		return Result{}, r
	}
	if slices.Equal(want.Prefixes, have.Prefixes) && want.Signature.Equal(have.Signature) {
		return Result{Datacenter: have.Clone()}, nil
	}
	next := *have
	next.Prefixes, next.Signature, next.ModifiedIndex = want.Prefixes, want.Signature, w.index
	insert(w.txn, tableDatacenters, &next)
	for s := range each[Service](w.txn, tableServices, indexID, string(next.Name)) {
		if !next.Contains(s.Address) {
			remove(w.txn, tableServices, s)
		}
	}
	w.deleteForeignSlices(next)
	return Result{Datacenter: next.Clone()}, nil
}
