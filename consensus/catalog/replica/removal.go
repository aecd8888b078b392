package replica

import (
	"fmt"

	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/catalogpb"
)

// removeDatacenter removes a datacenter other than the author's, which cannot leave
// itself because it is gone. Any member may do so, as any member may admit a
// datacenter; consensus/DESIGN.md has the reasons. The author's datacenter stays,
// so that the federation never becomes empty.
func (w *writer) removeDatacenter(req request, cmd *catalogpb.Command) (catalog.Result, *catalog.Refusal) {
	name := catalog.DatacenterName(cmd.GetRemoveDatacenter().GetDatacenter())
	dc, r := w.removable(req, name)
	if r != nil {
		return catalog.Result{}, r
	}
	gone := dc.Clone()
	w.deleteDatacenter(dc)
	w.revokeTokensOf(name)
	_, r = w.changeSettings(req, cmd)
	return catalog.Result{Datacenter: gone}, r
}

// requestRemoval records the first of two requests to remove a datacenter that is alive.
func (w *writer) requestRemoval(req request, cmd *catalogpb.Command) (catalog.Result, *catalog.Refusal) {
	if _, r := w.removable(req, catalog.DatacenterName(cmd.GetRequestRemoval().GetDatacenter())); r != nil {
		return catalog.Result{}, r
	}
	return w.changeSettings(req, cmd)
}

// removable returns the record of a datacenter that the author may remove.
func (w *writer) removable(req request, name catalog.DatacenterName) (*catalog.Datacenter, *catalog.Refusal) {
	if name == req.member.Datacenter {
		return nil, ownDatacenter(name)
	}
	if dc := datacenter(w.txn, name); dc != nil {
		return dc, nil
	}
	return nil, unknownDatacenter(name)
}

// revokeTokensOf revokes the unused tokens that gateways of dc created. If dc is
// removed because an attacker controls it, the attacker could otherwise join again
// with such a token.
func (w *writer) revokeTokensOf(dc catalog.DatacenterName) {
	var open []*catalog.Token
	for t := range each[catalog.Token](w.txn, tableTokens, indexID) {
		if t.UsedBy == "" && !t.Revoked && t.CreatedBy.Datacenter() == dc {
			open = append(open, t)
		}
	}
	for _, t := range open {
		revoked := *t
		revoked.Revoked = true
		insert(w.txn, tableTokens, &revoked)
	}
}

func ownDatacenter(name catalog.DatacenterName) *catalog.Refusal {
	return &catalog.Refusal{
		Code: catalog.CodeOwnDatacenter, Field: "datacenter", Message: fmt.Sprintf("datacenter %q cannot remove itself", catalog.Shorten(string(name))),
		Remedy: "remove it from the federation with meshctl leave",
	}
}

func unknownDatacenter(name catalog.DatacenterName) *catalog.Refusal {
	return &catalog.Refusal{
		Code: catalog.CodeUnknownDatacenter, Field: "datacenter", Message: fmt.Sprintf("there is no datacenter %q", catalog.Shorten(string(name))),
		Remedy: "run meshctl members to list the datacenters",
	}
}
