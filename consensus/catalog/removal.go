package catalog

import (
	"fmt"

	"github.com/meshway/meshway/consensus/catalog/catalogpb"
)

// removeDatacenter takes out another datacenter, one that cannot leave by itself
// because it is gone. Any member may: who admits whom he wants, as every member
// can, is trusted that far; DESIGN.md of consensus weighs it. The author always
// stays, so that the federation never becomes empty by it.
func (w *writer) removeDatacenter(req request, body *catalogpb.RemoveDatacenter) (Result, *Refusal) {
	name := DatacenterName(body.GetDatacenter())
	if name == req.member.Datacenter {
		return Result{}, ownDatacenter(name)
	}
	dc := datacenter(w.txn, name)
	if dc == nil {
		return Result{}, unknownDatacenter(name)
	}
	gone := dc.Clone()
	w.forgetDatacenter(dc)
	w.revokeTokensOf(name)
	return Result{Datacenter: gone}, nil
}

// revokeTokensOf ends the unused tokens that gateways of dc made. Whoever took
// over a datacenter that is removed for it could come back with one.
func (w *writer) revokeTokensOf(dc DatacenterName) {
	var open []*Token
	for t := range each[Token](w.txn, tableTokens, indexID) {
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

func ownDatacenter(name DatacenterName) *Refusal {
	return &Refusal{
		Code: CodeOwnDatacenter, Field: "datacenter", Message: fmt.Sprintf("%q is the datacenter that asks for it", shorten(string(name))),
		Remedy: "take it out of the federation with meshctl leave",
	}
}

func unknownDatacenter(name DatacenterName) *Refusal {
	return &Refusal{
		Code: CodeUnknownDatacenter, Field: "datacenter", Message: fmt.Sprintf("there is no datacenter %q", shorten(string(name))),
		Remedy: "meshctl members lists them",
	}
}
