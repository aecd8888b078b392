package history

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/consensustest"
	"github.com/meshway/meshway/consensus/raftnode"
)

// kinds are the faults of one history, beside those of the network.
type kinds struct {
	restarts bool // members are killed and started again
	clocks   bool // clocks jump
	disks    bool // disks are slow and full
	damage   bool // files of members that are down are damaged
	members  bool // members join, leave and are removed, and voters change
}

// kindsOf returns the faults of a seed: none, each, all.
func kindsOf(seed uint64) kinds {
	return []kinds{
		{},
		{restarts: true},
		{clocks: true},
		{disks: true},
		{damage: true},
		{members: true},
		{restarts: true, clocks: true, disks: true, damage: true, members: true},
	}[seed%7]
}

// stops reports whether members stop. One that does may start again within the lease of
// the leader, which it has forgotten.
func (k kinds) stops() bool { return k.restarts || k.disks || k.damage }

// steps returns how many calls each client makes: more if many of them fail, or if the
// faults take longer.
func (k kinds) steps() int {
	if k.stops() || k.members {
		return 40
	}
	return 25
}

// nemesis injects faults into a cluster in memory, at random.
type nemesis struct {
	history *History
	random  *rand.Rand
	cluster *consensustest.Cluster
	nodes   []*node
	special []func(context.Context) // the faults of the kinds
}

func (n *nemesis) use(k kinds) {
	if k.restarts || k.disks { // what is on a disk shows after a start
		n.special = append(n.special, n.restart)
	}
	if k.clocks {
		n.special = append(n.special, n.jump, n.stopLeader, n.suspend)
	}
	if k.disks {
		n.special = append(n.special, n.slowDisk, n.fullDisk)
	}
	if k.damage {
		n.special = append(n.special, n.damage)
	}
	if k.members {
		n.special = append(n.special, n.join, n.leave, n.remove, n.removeVoter)
	}
}

// run injects faults until ctx ends.
func (n *nemesis) run(ctx context.Context) {
	for ctx.Err() == nil {
		n.pause(ctx, 1500*time.Millisecond)
		if len(n.special) > 0 && n.random.IntN(2) == 0 {
			one(n.random, n.special)(ctx)
		} else {
			n.fault(ctx)
		}
	}
}

// pause waits for up to most, or until ctx ends.
func (n *nemesis) pause(ctx context.Context, most time.Duration) {
	pause(ctx, time.Duration(n.random.Int64N(int64(most))))
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// running returns the members that take part, in random order.
func (n *nemesis) running() []*node {
	var found []*node
	for _, i := range n.random.Perm(len(n.nodes)) {
		if n.nodes[i].state == up {
			found = append(found, n.nodes[i])
		}
	}
	return found
}

// fault is one of the network, or of the leadership.
func (n *nemesis) fault(ctx context.Context) {
	network, running := n.cluster.Network, n.running()
	if len(running) < 2 {
		n.repair(ctx)
		return
	}
	a, b := running[0], running[1]
	switch n.random.IntN(9) {
	case 0:
		network.Isolate(a.member.ID)
	case 1: // one direction only
		network.Cut(a.member.ID, b.member.ID)
	case 2:
		half := 1 + n.random.IntN(len(running)-1)
		network.Partition(ids(running[:half]), ids(running[half:]))
	case 3:
		network.Delay(time.Duration(n.random.IntN(60)) * time.Millisecond)
	case 4:
		if leader := n.leader(); leader != nil {
			network.Isolate(leader.member.ID)
		}
	case 5:
		n.flap(ctx, a.member.ID, b.member.ID)
	case 6:
		transfer, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		_ = a.member.Node.TransferLeader(transfer, b.member.ID) // refused without a leader
	default:
		n.repair(ctx)
	}
}

// repair makes the network whole, and starts what is down.
func (n *nemesis) repair(ctx context.Context) {
	n.cluster.Network.Heal()
	for _, m := range n.nodes {
		m.host.delay(0)
		m.host.hold(0)
		if m.state == down {
			n.start(ctx, m)
		}
	}
}

func ids(nodes []*node) []catalog.GatewayID {
	var ids []catalog.GatewayID
	for _, m := range nodes {
		ids = append(ids, m.member.ID)
	}
	return ids
}

// leader returns a member that leads, as it has it; nil: there is none.
func (n *nemesis) leader() *node {
	running := n.running()
	i := slices.IndexFunc(running, func(m *node) bool { return m.member.Node.Status().Leader == m.member.ID })
	if i < 0 {
		return nil
	}
	return running[i]
}

// flap cuts and restores a link a few times.
func (n *nemesis) flap(ctx context.Context, a, b catalog.GatewayID) {
	for range 5 {
		n.cluster.Network.Cut(a, b)
		n.pause(ctx, 200*time.Millisecond)
		n.cluster.Network.Restore(a, b)
		n.pause(ctx, 200*time.Millisecond)
	}
}

// any calls f with a member that takes part; nil: there is none.
func (n *nemesis) other(not *node) *raftnode.Node {
	for _, m := range n.running() {
		if m != not {
			return m.member.Node
		}
	}
	return nil
}

func (n *nemesis) fail(m *node, format string, args ...any) {
	n.history.fail(fmt.Errorf("%s: %w", m.member.ID, fmt.Errorf(format, args...)))
}
