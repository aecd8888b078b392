package member

import (
	"connectrpc.com/connect"

	"github.com/meshway/meshway/agent/rpc"
	"github.com/meshway/meshway/consensus"
)

// Sentinels returns the errors that keep their meaning between gateways, and
// between the agent and meshctl.
func Sentinels() rpc.Sentinels {
	return rpc.Sentinels{
		{Name: "no-leader", Err: consensus.ErrNoLeader, Code: connect.CodeUnavailable},
		{Name: "not-leader", Err: consensus.ErrNotLeader, Code: connect.CodeUnavailable},
		{Name: "rejected", Err: consensus.ErrRejected, Code: connect.CodeFailedPrecondition},
	}
}
