package consensus

import (
	"context"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/catalogpb"
)

// Remote calls other members. An error that matches ErrNotLeader or ErrRejected
// is definite: the call had no effect. After any other error it may have had one.
type Remote interface {
	// Apply writes commands through the gateway to, which is the leader.
	Apply(ctx context.Context, to catalog.GatewayID, cmds []*catalogpb.Command) ([]catalog.Result, error)
	// ReadIndex returns the index that a copy of the catalog must have reached
	// to include all that was written before the call. Without lease, a quorum
	// confirms first that the gateway to leads.
	ReadIndex(ctx context.Context, to catalog.GatewayID, lease bool) (uint64, error)
	// LeaderOperation executes op on the gateway to, which is the leader.
	LeaderOperation(ctx context.Context, to catalog.GatewayID, op LeaderOperation) error
	// Electorate returns which gateways vote, as the gateway to has it.
	Electorate(ctx context.Context, to catalog.GatewayID) (Electorate, error)
}

// Electorate is which gateways vote in a term, as one member has it.
type Electorate struct {
	Term   uint64
	Voters []Voter
}

// Voter is one gateway that votes, and the CA (DER) of its datacenter in the catalog.
type Voter struct {
	ID catalog.GatewayID
	CA []byte
}

// OperationKind names an operation that only the leader can execute.
type OperationKind string

// The operations of the leader.
const (
	TransferLeadership OperationKind = "transfer-leadership" // to Target; empty: the leader chooses
	RemoveMember       OperationKind = "remove-member"       // Target
	Abstain            OperationKind = "abstain"             // all gateways of the datacenter of Target
)

// LeaderOperation is one request to the leader. Kind determines what Target is. From
// is the gateway that requests it, which the leader's side sets. Own is set if the leader
// executes it for itself only; the catalog does not record that.
type LeaderOperation struct {
	Kind   OperationKind
	Target catalog.GatewayID
	From   catalog.GatewayID
	Own    bool
}

// OperationCommand returns the command by which the catalog records an operation of the
// leader, nil for one that concerns only the datacenter that requests it.
func OperationCommand(op LeaderOperation) *catalogpb.Command {
	switch op.Kind {
	case TransferLeadership:
		return &catalogpb.Command{Version: catalog.LevelLimits, Body: &catalogpb.Command_TransferLeader{
			TransferLeader: &catalogpb.TransferLeader{To: string(op.Target)},
		}}
	case RemoveMember:
		return &catalogpb.Command{Version: catalog.LevelLimits, Body: &catalogpb.Command_RemovePeer{
			RemovePeer: &catalogpb.RemovePeer{Id: string(op.Target)},
		}}
	case Abstain:
	}
	return nil
}

// RequestCommands returns the command by which the catalog keeps a request to remove a
// datacenter that needs the request of a second one, so that the next leader has it too;
// refusal is that of the removal. It returns none for another refusal, and while a gateway
// does not support the command: then the request is in the memory of the leader only.
func RequestCommands(removal *catalogpb.Command, refusal *catalog.Refusal, gateways []catalog.Gateway, now time.Time) []*catalogpb.Command {
	if refusal.Code != CodeConfirmationNeeded || catalog.LevelsOf(gateways).Common < catalog.LevelRemoval {
		return nil
	}
	cmd := catalog.NewRequestRemoval(catalog.DatacenterName(removal.GetRemoveDatacenter().GetDatacenter()))
	cmd.Author, cmd.At = removal.GetAuthor(), timestamppb.New(now)
	return []*catalogpb.Command{cmd}
}

// OfLeader reports whether a command records a request to the leader, which only the leader
// writes.
func OfLeader(cmd *catalogpb.Command) bool {
	return cmd.GetTransferLeader() != nil || cmd.GetRemovePeer() != nil || cmd.GetRequestRemoval() != nil
}
