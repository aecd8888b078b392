package replica

import (
	"fmt"
	"slices"

	"github.com/hashicorp/go-memdb"

	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/allowlist"
	"github.com/meshway/meshway/consensus/catalog/catalogpb"
)

// allowPrefixes stores ranges that the author's datacenter allows the others.
func (w *writer) allowPrefixes(req request, body *catalogpb.AllowPrefixes) (catalog.Result, *catalog.Refusal) {
	ranges, removed, r := catalog.AllowablePrefixes(body, req.level)
	if r == nil {
		r = allowlist.CheckAllowable(ranges)
	}
	if r != nil {
		return catalog.Result{}, r
	}
	have := settings(w.txn)
	next := have.Disallow(req.member.Datacenter, removed).Allow(req.member.Datacenter, ranges)
	own := len(next.Allowed) - len(next.Without(req.member.Datacenter).Allowed)
	if own > catalog.MaxAllowedPrefixes {
		return catalog.Result{}, &catalog.Refusal{
			Code: catalog.CodePrefixLimit, Field: "cidrs",
			Message: fmt.Sprintf("datacenter %q would allow %d ranges, the maximum is %d", req.member.Datacenter, own, catalog.MaxAllowedPrefixes),
			Remedy:  "allow one range in place of several",
		}
	}
	w.setSettings(have, next)
	return catalog.Result{}, nil
}

func (w *writer) setSettings(have, next catalog.Settings) {
	if slices.Equal(have.Allowed, next.Allowed) && have.FeatureLevel == next.FeatureLevel {
		return
	}
	next.ModifiedIndex = w.index
	insert(w.txn, tableSettings, &next)
}

// checkAllowed refuses new prefixes of a datacenter that are outside the ranges in which
// datacenters may announce prefixes. Those that it has stay allowed. The only datacenter
// of a federation may announce all.
func checkAllowed(txn *memdb.Txn, cmd *catalogpb.Command) *catalog.Refusal {
	body, host := catalog.Records(cmd)
	if body == nil {
		return nil
	}
	dc, err := catalog.DatacenterFromProto(body)
	if err != nil || len(gatewaysBelow(txn, catalog.LevelAllowed)) > 0 || isAlone(txn, dc.Name) {
		return nil
	}
	allowed := settings(txn)
	var gateways []catalog.Gateway
	for g := range each[catalog.Gateway](txn, tableGateways, indexID, string(dc.Name)) {
		gateways = append(gateways, *g)
	}
	if g, err := catalog.GatewayFromProto(host); host != nil && err == nil {
		gateways = append(gateways, g)
	}
	var had []catalog.Prefix
	if have := datacenter(txn, dc.Name); have != nil {
		had = have.Prefixes
	}
	return allowlist.CheckNew(allowed, dc, gateways, had)
}

// isAlone reports whether no datacenter but name is a member.
func isAlone(txn *memdb.Txn, name catalog.DatacenterName) bool {
	for dc := range each[catalog.Datacenter](txn, tableDatacenters, indexID) {
		if dc.Name != name {
			return false
		}
	}
	return true
}
