package history

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/meshway/meshway/consensus"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/catalogpb"
	"github.com/meshway/meshway/consensus/catalog/feed"
	"github.com/meshway/meshway/consensus/consensustest"
	"github.com/meshway/meshway/consensus/raftnode"
)

// node is a member in memory. Clients call it while it is killed and started again.
// Only the nemesis uses the fields before mu.
type node struct {
	owner   catalog.GatewayID // of all services
	host    *host
	network *consensustest.Network
	member  *consensustest.Member
	state   state
	damaged string // what was done to its directory; empty: nothing
	moved   int    // how many directories were moved away
	refused error  // why the others did not remove its vote

	mu   sync.Mutex // guards all following
	open *raftnode.Node
}

// state is whether a member takes part.
type state int

const (
	spare    state = iota // it has not joined yet
	up                    // it runs, unless its disk is full
	down                  // it was killed
	departed              // it has left or was removed, and may still run
)

var errNotStarted = errors.New("the member was not started")

func (n *node) current() (*raftnode.Node, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.open == nil {
		return nil, errNotStarted
	}
	return n.open, nil
}

// kill stops the member as a crash does.
func (n *node) kill() {
	n.member.Kill()
	n.state = down
}

// start opens the directory of the member, and runs it.
func (n *node) start(seed func(*raftnode.Node) error) error {
	if err := n.member.TryOpen(); err != nil {
		return fmt.Errorf("open: %w", err)
	}
	if seed != nil {
		if err := seed(n.member.Node); err != nil {
			return errors.Join(fmt.Errorf("seed: %w", err), n.member.Node.Close())
		}
	}
	n.member.Start()
	n.network.Rejoin(n.member.ID)
	n.state = up
	n.mu.Lock()
	defer n.mu.Unlock()
	n.open = n.member.Node
	return nil
}

// seedFrom returns the seed of a member that another one admits.
func seedFrom(other *raftnode.Node) func(*raftnode.Node) error {
	return func(n *raftnode.Node) error { return n.Seed(other.View(), consensus.Electorate{}) }
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
	open, err := n.current()
	if err != nil {
		return 0, NotDone
	}
	results, err := open.Propose(ctx, cmd)
	switch {
	case err == nil || errors.Is(err, consensus.ErrBehind):
		if results[0].Refusal != nil { // a clock has jumped
			return 0, NotDone
		}
		return results[0].Index, Done
	case errors.Is(err, consensus.ErrUncertain):
		return 0, Unknown
	}
	return 0, NotDone
}

// Read implements Member.
func (n *node) Read(ctx context.Context, key string, mode consensus.ReadMode) (string, uint64, error) {
	open, err := n.current()
	if err != nil {
		return "", 0, err
	}
	view, _, err := open.Read(ctx, mode)
	if err != nil {
		return "", 0, err
	}
	return n.register(key).Get(view), view.Index(), nil
}

// watch watches the services of the clients from an index on.
func (n *node) watch(index uint64) (*feed.Watcher, error) {
	open, err := n.current()
	if err != nil {
		return nil, err
	}
	return open.Feed().Watch(filter, index)
}
