package replica

import (
	"slices"
	"time"

	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/agreement"
	"github.com/meshway/meshway/consensus/catalog/allowlist"
	"github.com/meshway/meshway/consensus/catalog/catalogpb"
	"github.com/meshway/meshway/consensus/catalog/replica/internal/table"
	"github.com/meshway/meshway/consensus/catalog/sponsor"
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
func checkAllowed(txn *table.Txn, cmd *catalogpb.Command, now time.Time) *catalog.Refusal {
	body, host := catalog.Records(cmd)
	if body == nil {
		return nil
	}
	dc, err := catalog.DatacenterFromProto(body)
	if err != nil || isAlone(txn, dc.Name) {
		return nil
	}
	count := sponsors(txn, now)
	if cmd.GetJoin() != nil {
		count = count.With(dc.Name, catalog.GatewayID(cmd.GetAuthor()).Datacenter(), now)
	}
	// No datacenter can allow a range while a gateway does not support it. The level that
	// the gateways of dc, or of those that it has just invited, state does not count: a
	// hostile one states a low level.
	others := slices.DeleteFunc(gatewaysBelow(txn, catalog.LevelAllowed), func(id catalog.GatewayID) bool {
		return !count.Independent(id.Datacenter(), dc.Name)
	})
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
	return allowlist.CheckNew(allowed, count, dc, gateways, had)
}

// sponsors returns what the datacenters count as at a time.
func sponsors(txn *table.Txn, now time.Time) sponsor.Sponsors {
	f := federation(txn)
	if f == nil {
		return sponsor.Sponsors{}
	}
	return sponsor.New(*f, each[catalog.Datacenter](txn, tableDatacenters, indexID), each[catalog.Token](txn, tableTokens, indexID), now)
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
