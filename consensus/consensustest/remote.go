package consensustest

import (
	"context"
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/meshway/meshway/consensus"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/catalogpb"
	"github.com/meshway/meshway/consensus/consensustest/memnet"
	"github.com/meshway/meshway/consensus/raftnode"
)

// Server executes the calls of a Remote. A *raftnode.Node is one.
type Server interface {
	ApplyForwarded(ctx context.Context, cmds []*catalogpb.Command) ([]catalog.Result, error)
	ReadIndex(ctx context.Context, lease bool) (uint64, error)
	LeaderOperation(ctx context.Context, op consensus.LeaderOperation) error
	Electorate() (consensus.Electorate, error)
}

var _ Server = (*raftnode.Node)(nil)

// Serve lets others call id; nil: connections are refused.
func (n *Network) Serve(id catalog.GatewayID, s Server) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.servers[id] = s
}

// Remote makes the calls of one gateway over the network. A cut link delays a
// call, or its answer, until its context ends.
type Remote struct {
	network *Network
	from    catalog.GatewayID
}

var _ consensus.Remote = Remote{}

// Remote returns the Remote of the gateway from.
func (n *Network) Remote(from catalog.GatewayID) Remote { return Remote{n, from} }

// Apply implements consensus.Remote.
func (r Remote) Apply(ctx context.Context, to catalog.GatewayID, cmds []*catalogpb.Command) (results []catalog.Result, err error) {
	var wire []*catalogpb.Command
	for _, c := range cmds {
		wire = append(wire, proto.CloneOf(c))
	}
	err = r.call(ctx, to, func(s Server) (err error) {
		results, err = s.ApplyForwarded(ctx, wire)
		return err
	})
	return results, err
}

// ReadIndex implements consensus.Remote.
func (r Remote) ReadIndex(ctx context.Context, to catalog.GatewayID, lease bool) (index uint64, err error) {
	err = r.call(ctx, to, func(s Server) (err error) {
		index, err = s.ReadIndex(ctx, lease)
		return err
	})
	return index, err
}

// LeaderOperation implements consensus.Remote.
func (r Remote) LeaderOperation(ctx context.Context, to catalog.GatewayID, op consensus.LeaderOperation) error {
	op.From = r.from
	return r.call(ctx, to, func(s Server) error { return s.LeaderOperation(ctx, op) })
}

// Electorate implements consensus.Remote.
func (r Remote) Electorate(ctx context.Context, to catalog.GatewayID) (e consensus.Electorate, err error) {
	err = r.call(ctx, to, func(s Server) (err error) {
		e, err = s.Electorate()
		return err
	})
	return e, err
}

func (r Remote) call(ctx context.Context, to catalog.GatewayID, f func(Server) error) error {
	if err := memnet.Travel(ctx, r.network.Link(r.from, to)); err != nil {
		return fmt.Errorf("%w: %w", consensus.ErrNotLeader, err) // it never arrived
	}
	r.network.mu.Lock()
	server := r.network.servers[to]
	r.network.mu.Unlock()
	if server == nil {
		return fmt.Errorf("%w: call %s: connection refused", consensus.ErrNotLeader, to)
	}
	err := f(server)
	if lost := memnet.Travel(ctx, r.network.Link(to, r.from)); lost != nil {
		return lost
	}
	return err
}
