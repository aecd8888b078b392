package replica

import (
	"slices"

	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/agreement"
	"github.com/meshway/meshway/consensus/catalog/allowlist"
	"github.com/meshway/meshway/consensus/catalog/catalogpb"
	"github.com/meshway/meshway/consensus/catalog/replica/internal/table"
)

// changeSettings stores what a command changes in the settings.
func (w *writer) changeSettings(req request, cmd *catalogpb.Command) (catalog.Result, *catalog.Refusal) {
	have := settings(w.txn)
	next, r := agreement.After(have, req.member.Datacenter, cmd)
	if r == nil {
		w.setSettings(have, next)
	}
	return catalog.Result{}, r
}

func (w *writer) setSettings(have, next catalog.Settings) {
	if agreement.Equal(have, next) {
		return
	}
	next.ModifiedIndex = w.index
	insert(w.txn, tableSettings, &next)
}

// checkAllowed refuses new prefixes of a datacenter that are outside the ranges in which
// datacenters may announce prefixes. Those that it has stay allowed. The only datacenter
// of a federation may announce all.
func checkAllowed(txn *table.Txn, cmd *catalogpb.Command) *catalog.Refusal {
	body, host := catalog.Records(cmd)
	if body == nil {
		return nil
	}
	dc, err := catalog.DatacenterFromProto(body)
	if err != nil || isAlone(txn, dc.Name) {
		return nil
	}
	// No datacenter can allow a range while a gateway does not support it. The level that
	// the gateways of dc state does not count: a hostile one states a low level.
	others := slices.DeleteFunc(gatewaysBelow(txn, catalog.LevelAllowed), func(id catalog.GatewayID) bool { return id.Datacenter() == dc.Name })
	if len(others) > 0 {
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
func isAlone(txn *table.Txn, name catalog.DatacenterName) bool {
	for dc := range each[catalog.Datacenter](txn, tableDatacenters, indexID) {
		if dc.Name != name {
			return false
		}
	}
	return true
}
