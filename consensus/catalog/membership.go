package catalog

import (
	"bytes"
	"fmt"
	"slices"
	"time"

	"github.com/meshway/meshway/consensus/catalog/catalogpb"
)

// firstOrdinal leaves 0 for "not given".
const firstOrdinal = 1

// initialize makes the federation. It is the only command whose author is no member
// yet: the author becomes one by it.
func (w *writer) initialize(req request, body *catalogpb.Init) (Result, *Refusal) {
	if f := federation(w.txn); f != nil {
		return Result{}, &Refusal{
			Code: CodeInitialized, Field: "federation", Message: fmt.Sprintf("federation %q exists already", f.Name),
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
	n, r := newcomerFromProto(body.GetDatacenter(), body.GetGateway())
	if r != nil {
		return Result{}, r
	}
	if n.gateway.ID() != req.author {
		return Result{}, &Refusal{
			Code: CodeNotOwner, Field: "gateway", Message: fmt.Sprintf("the author is not gateway %s", n.gateway.ID()),
			Remedy: "run init on the gateway itself",
		}
	}
	return w.admit(f, n, req.at)
}

// join admits a datacenter: token, name, prefixes, keys and addresses are taken
// together, or nothing is.
func (w *writer) join(req request, body *catalogpb.Join) (Result, *Refusal) {
	f := federation(w.txn)
	if body.GetFederationId() != f.ID {
		return Result{}, &Refusal{
			Code: CodeFederationDiffers, Field: "federation_id",
			Message: fmt.Sprintf("the token is of federation %q, this is %s", shorten(body.GetFederationId()), f.ID),
			Remedy:  "ask a member of the right federation for a token",
		}
	}
	t, r := w.provenToken(body)
	if r != nil {
		return Result{}, r
	}
	n, r := newcomerFromProto(body.GetDatacenter(), body.GetGateway())
	if r != nil {
		return Result{}, r
	}
	if result, again := w.joinedBefore(req, t, n); again {
		return result, nil
	}
	if r := t.usable(req.at); r != nil {
		return Result{}, r
	}
	if t.Datacenter != "" && t.Datacenter != n.datacenter.Name {
		return Result{}, &Refusal{
			Code: CodeTokenBound, Field: "token",
			Message: fmt.Sprintf("it is for datacenter %q, not %q", t.Datacenter, shorten(string(n.datacenter.Name))),
			Remedy:  "join under that name, or ask for another token",
		}
	}
	result, r := w.admit(*f, n, req.at)
	if r != nil {
		return Result{}, r
	}
	used := *t
	used.UsedBy, used.UsedAt = n.datacenter.Name, req.at
	insert(w.txn, tableTokens, &used)
	return result, nil
}

// joinedBefore answers a newcomer that asks again because the answer got lost:
// it is in, and would otherwise be shut out by its own name. It has to be the
// same join in all, while the token lasts.
func (w *writer) joinedBefore(req request, t *Token, n newcomer) (Result, bool) {
	dc, g := datacenter(w.txn, n.datacenter.Name), gateway(w.txn, n.gateway.ID())
	again := dc != nil && g != nil && t.UsedBy == dc.Name && req.at.Before(t.ExpiresAt) &&
		t.UsedAt.Equal(dc.JoinedAt) && g.PublicKey == n.gateway.PublicKey &&
		bytes.Equal(dc.CACertificate, n.datacenter.CACertificate) &&
		slices.Equal(dc.Prefixes, n.datacenter.Prefixes)
	if !again {
		return Result{}, false
	}
	return Result{Datacenter: dc.Clone(), Gateway: g.Clone()}, true
}

// newcomer is a datacenter that comes in with its first gateway.
type newcomer struct {
	datacenter Datacenter
	gateway    Gateway
}

func newcomerFromProto(d *catalogpb.Datacenter, g *catalogpb.Gateway) (newcomer, *Refusal) {
	dc, err := DatacenterFromProto(d)
	if err != nil {
		return newcomer{}, asRefusal(err)
	}
	gw, err := GatewayFromProto(g)
	if err != nil {
		return newcomer{}, asRefusal(err).in("gateway")
	}
	if gw.Datacenter != "" && gw.Datacenter != dc.Name {
		return newcomer{}, malformed("gateway.datacenter", "it is not the datacenter that joins")
	}
	gw.Datacenter = dc.Name
	return newcomer{dc, gw}, nil
}

// admit gives the newcomer its ordinal, index and overlay address, which f is
// the source of, and writes all three records.
func (w *writer) admit(f Federation, n newcomer, at time.Time) (Result, *Refusal) {
	if r := w.checkNewcomer(f, n); r != nil {
		return Result{}, r
	}
	dc, g := n.datacenter, n.gateway
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

func (w *writer) checkNewcomer(f Federation, n newcomer) *Refusal {
	dc := n.datacenter
	if r := checkName("datacenter", string(dc.Name)); r != nil {
		return r
	}
	if taken := datacenter(w.txn, dc.Name); taken != nil {
		return &Refusal{
			Code: CodeNameTaken, Field: "datacenter",
			Message: fmt.Sprintf("a datacenter %q joined at %s", dc.Name, taken.JoinedAt.Format(time.RFC3339)),
			Remedy:  "choose another name, or let that datacenter leave first",
		}
	}
	if r := checkPrefixes("prefixes", dc.Prefixes); r != nil {
		return r
	}
	if r := w.prefixesFree(dc.Name, f.Overlay, dc.Prefixes); r != nil {
		return r
	}
	if r := w.certificateFree(dc.CACertificate); r != nil {
		return r
	}
	return w.checkGateway(n.gateway).in("gateway")
}

func checkFederation(f Federation) *Refusal {
	if !isUUID(f.ID) {
		return &Refusal{
			Code: CodeFederationInvalid, Field: "id", Message: fmt.Sprintf("%q is no UUID", shorten(f.ID)),
			Remedy: "use lower-case hexadecimal: 123e4567-e89b-12d3-a456-426614174000",
		}
	}
	if r := checkName("name", f.Name); r != nil {
		return r
	}
	return checkOverlay("overlay", f.Overlay)
}

// leave takes the author's datacenter out. Its tokens stay: they are the
// federation's. When the last one leaves there is no federation any more, and
// nobody who could write: the catalog is empty again.
func (w *writer) leave(req request, body *catalogpb.Leave) (Result, *Refusal) {
	name := DatacenterName(body.GetDatacenter())
	if r := req.owns("datacenter", name); r != nil {
		return Result{}, r
	}
	w.forgetDatacenter(datacenter(w.txn, name))
	for range each[Datacenter](w.txn, tableDatacenters, indexID) {
		return Result{}, nil
	}
	removeAll(w.txn, tableTokens, indexID)
	removeAll(w.txn, tableFederation, indexID)
	return Result{}, nil
}

// forgetDatacenter frees all that dc has: its name and prefixes, and what hangs
// on them.
func (w *writer) forgetDatacenter(dc *Datacenter) {
	name := string(dc.Name)
	for g := range each[Gateway](w.txn, tableGateways, indexID, name) {
		w.forgetGateway(g) // every service has an owner among them
	}
	removeAll(w.txn, tableExports, indexID, name)
	removeAll(w.txn, tableEndpoints, indexID, name)
	remove(w.txn, tableDatacenters, dc)
}

// updateDatacenter replaces the prefixes. A service whose address is no longer
// in them goes too, and every slice with such an endpoint: nobody could reach it.
func (w *writer) updateDatacenter(req request, body *catalogpb.UpdateDatacenter) (Result, *Refusal) {
	want, err := DatacenterFromProto(body.GetDatacenter())
	if err != nil {
		return Result{}, asRefusal(err)
	}
	if r := req.owns("datacenter", want.Name); r != nil {
		return Result{}, r
	}
	have := datacenter(w.txn, want.Name)
	if len(want.CACertificate) > 0 && !bytes.Equal(want.CACertificate, have.CACertificate) {
		return Result{}, &Refusal{
			Code: CodeCertificateFixed, Field: "ca_certificate", Message: "only joining sets the CA certificate",
			Remedy: "leave and join again with the new one",
		}
	}
	if r := checkPrefixes("prefixes", want.Prefixes); r != nil {
		return Result{}, r
	}
	if r := w.prefixesFree(want.Name, federation(w.txn).Overlay, want.Prefixes); r != nil {
		return Result{}, r
	}
	if slices.Equal(want.Prefixes, have.Prefixes) {
		return Result{Datacenter: have.Clone()}, nil
	}
	next := *have
	next.Prefixes, next.ModifiedIndex = want.Prefixes, w.index
	insert(w.txn, tableDatacenters, &next)
	for s := range each[Service](w.txn, tableServices, indexID, string(next.Name)) {
		if !next.Contains(s.Address) {
			remove(w.txn, tableServices, s)
		}
	}
	w.forgetForeignEndpoints(next)
	return Result{Datacenter: next.Clone()}, nil
}
