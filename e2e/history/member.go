package history

import (
	"context"
	"errors"
	"sync"

	"github.com/meshway/meshway/consensus"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/catalogpb"
	"github.com/meshway/meshway/consensus/consensustest"
	"github.com/meshway/meshway/consensus/raftnode"
)

// node is a member in memory. Clients call it while it is killed and started again.
type node struct {
	owner catalog.GatewayID // of all services

	mu     sync.Mutex // guards member.Node
	member *consensustest.Member
}

func (n *node) current() *raftnode.Node {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.member.Node
}

// restart kills the member and starts it again.
func (n *node) restart(down func()) {
	n.member.Kill()
	down()
	n.mu.Lock()
	defer n.mu.Unlock()
	n.member.Restart()
}

func (n *node) register(key string) consensustest.Key {
	return consensustest.Key{Owner: n.owner, Name: key}
}

// Put implements Member.
func (n *node) Put(ctx context.Context, key, value string) (uint64, Outcome) {
	return n.propose(ctx, n.register(key).Set(value))
}

// Delete implements Member.
func (n *node) Delete(ctx context.Context, key string) (uint64, Outcome) {
	return n.propose(ctx, n.register(key).Delete())
}

func (n *node) propose(ctx context.Context, cmd *catalogpb.Command) (uint64, Outcome) {
	results, err := n.current().Propose(ctx, cmd)
	switch {
	case err == nil || errors.Is(err, consensus.ErrBehind):
		return results[0].Index, Done
	case errors.Is(err, consensus.ErrUncertain):
		return 0, Unknown
	}
	return 0, NotDone
}

// Read implements Member.
func (n *node) Read(ctx context.Context, key string, mode consensus.ReadMode) (string, uint64, error) {
	view, _, err := n.current().Read(ctx, mode)
	if err != nil {
		return "", 0, err
	}
	return n.register(key).Get(view), view.Index(), nil
}
