package replica

import (
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/allowlist"
	"github.com/meshway/meshway/consensus/catalog/catalogpb"
	"github.com/meshway/meshway/consensus/catalog/replica/internal/table"
)

// checkWitness refuses prefixes of a datacenter with a witness.
func checkWitness(txn *table.Txn, cmd *catalogpb.Command) *catalog.Refusal {
	body, host := catalog.Records(cmd)
	dc, err := catalog.DatacenterFromProto(body)
	g, invalid := catalog.GatewayFromProto(host)
	if err != nil || invalid != nil {
		return nil // Apply refuses it
	}
	if have := datacenter(txn, g.Datacenter); body == nil && have != nil {
		dc.Prefixes = have.Prefixes
	}
	for have := range each[catalog.Gateway](txn, tableGateways, indexID, string(dc.Name)) {
		if r := allowlist.CheckWitness(*have, dc.Prefixes); r != nil && body != nil {
			return r
		}
	}
	return allowlist.CheckWitness(g, dc.Prefixes)
}
