package allowlist

import (
	"fmt"

	"github.com/meshway/meshway/consensus/catalog"
)

// CheckWitness returns why g cannot be a gateway of a datacenter with the prefixes, or nil:
// a witness carries no traffic.
func CheckWitness(g catalog.Gateway, prefixes []catalog.Prefix) *catalog.Refusal {
	if !g.Witness || len(prefixes) == 0 {
		return nil
	}
	return &catalog.Refusal{
		Code: catalog.CodeWitness, Field: "witness", Message: fmt.Sprintf("a witness only votes: its datacenter cannot announce %v", prefixes[0].CIDR),
		Remedy: "remove the prefixes from the configuration of the witness, or the key witness",
	}
}
