package replica

import (
	"google.golang.org/protobuf/proto"

	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/catalogpb"
	"github.com/meshway/meshway/consensus/catalog/replica/internal/table"
)

// withOrdinal returns cmd with an ordinal, if it is a Join after all ordinals have been
// assigned. The leader chooses it: a member of an earlier build would assign another one.
func withOrdinal(txn *table.Txn, cmd *catalogpb.Command) *catalogpb.Command {
	f := federation(txn)
	if cmd.GetJoin() == nil || f == nil {
		return cmd
	}
	ordinal := uint32(0)
	if f.NextOrdinal > catalog.MaxOrdinal || settings(txn).FeatureLevel >= catalog.LevelOrdinal {
		ordinal = freeOrdinal(txn, f.NextOrdinal)
	}
	g := catalog.Gateway{FeatureLevel: cmd.GetJoin().GetGateway().GetFeatureLevel()}
	if g.Level() < catalog.LevelOrdinal || len(gatewaysBelow(txn, catalog.LevelOrdinal)) > 0 {
		ordinal = 0
	}
	if ordinal == 0 && cmd.GetJoin().GetOrdinal() == 0 {
		return cmd
	}
	cmd = proto.CloneOf(cmd)
	cmd.GetJoin().Ordinal = ordinal
	if ordinal != 0 {
		cmd.Version = max(cmd.GetVersion(), catalog.LevelOrdinal)
	}
	return cmd
}

// freeOrdinal returns the first ordinal from next on that no datacenter has, 0 if there is
// none. It goes round, so that the ordinal of a datacenter that left is assigned again
// after all others.
func freeOrdinal(txn *table.Txn, next uint32) uint32 {
	taken := ordinals(txn)
	for range catalog.MaxOrdinal {
		if next > catalog.MaxOrdinal {
			next = firstOrdinal
		}
		if !taken[next] {
			return next
		}
		next++
	}
	return 0
}

func ordinals(txn *table.Txn) map[uint32]bool {
	taken := make(map[uint32]bool)
	for dc := range each[catalog.Datacenter](txn, tableDatacenters, indexID) {
		taken[dc.Ordinal] = true
	}
	return taken
}
