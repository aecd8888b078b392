package replica

import (
	"fmt"

	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/agreement"
	"github.com/meshway/meshway/consensus/catalog/catalogpb"
	"github.com/meshway/meshway/consensus/catalog/replica/internal/table"
)

// checkLevel refuses a command that a gateway of the federation does not support, since
// that member would stop, and the record of a gateway that does not support what the
// federation uses.
//
// The level of a gateway is in its record, where a member of an earlier build does not
// store it: the copy of a leader that such a member sent a snapshot has the level that is
// unstated, until the gateway signs its record again.
func checkLevel(txn *table.Txn, cmd *catalogpb.Command) *catalog.Refusal {
	by := catalog.GatewayID(cmd.GetAuthor()).Datacenter()
	if r := agreement.HoldBack(cmd.GetVersion(), by, gatewaysBelow(txn, cmd.GetVersion())); r != nil {
		return r
	}
	used := min(settings(txn).FeatureLevel, catalog.Level) // higher: of a build that this one cannot judge
	_, g := catalog.Records(cmd)
	if g == nil || (catalog.Gateway{FeatureLevel: g.GetFeatureLevel()}).Level() >= used {
		return nil
	}
	return &catalog.Refusal{
		Code: catalog.CodeFeatureLevel, Field: "gateway.feature_level",
		Message: fmt.Sprintf("the federation uses feature level %d, which gateway %s does not support",
			used, catalog.Shorten(g.GetName())),
		Remedy: "upgrade meshd on this gateway, then try again",
	}
}

// useLevel stores the level of a command that was applied. Those of the first two are
// not stored: all members have them, and earlier builds do not have Settings.
func (w *writer) useLevel(level uint32) {
	if level < catalog.LevelAllowed {
		return
	}
	have := settings(w.txn)
	next := have
	next.FeatureLevel = max(next.FeatureLevel, level)
	w.setSettings(have, next)
}

// gatewaysBelow returns the gateways that do not support a level. All builds support the
// first.
func gatewaysBelow(txn *table.Txn, level uint32) []catalog.GatewayID {
	if level <= 1 {
		return nil
	}
	var behind []catalog.GatewayID
	for g := range each[catalog.Gateway](txn, tableGateways, indexID) {
		if g.Level() < level {
			behind = append(behind, g.ID())
		}
	}
	return behind
}
