package quorum

import (
	"fmt"

	"github.com/meshway/meshway/consensus"
	"github.com/meshway/meshway/consensus/catalog"
)

// CheckInviter refuses a join through another datacenter than the one that created the
// token. A gateway of that one has received the secret; the others can read its hash in
// the catalog.
func CheckInviter(t catalog.Token, author catalog.GatewayID) *catalog.Refusal {
	if t.CreatedBy.Datacenter() == author.Datacenter() {
		return nil
	}
	return &catalog.Refusal{
		Code: consensus.CodeNotTheInviter, Field: "token",
		Message: fmt.Sprintf("gateway %s created the token, and gateway %s of another datacenter requests a join with it", t.CreatedBy, author),
		Remedy:  "join with a token of that datacenter: create one there with meshctl token create",
	}
}
