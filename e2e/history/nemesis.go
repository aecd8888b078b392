package history

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/consensustest"
)

// nemesis injects faults into a cluster in memory, at random.
type nemesis struct {
	random   *rand.Rand
	cluster  *consensustest.Cluster
	nodes    []*node
	restarts bool // members are killed and started again
}

// run injects faults until ctx ends, and repairs the network then.
func (n *nemesis) run(ctx context.Context) {
	for ctx.Err() == nil {
		pause(ctx, time.Duration(n.random.IntN(1500))*time.Millisecond)
		n.fault(ctx)
	}
	n.cluster.Network.Heal()
	n.cluster.Network.Delay(0)
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

func (n *nemesis) fault(ctx context.Context) {
	network, order := n.cluster.Network, n.random.Perm(len(n.nodes))
	a, b := n.nodes[order[0]], n.nodes[order[1]]
	switch n.random.IntN(10) {
	case 0:
		network.Isolate(a.member.ID)
	case 1: // one direction only
		network.Cut(a.member.ID, b.member.ID)
	case 2:
		half := 1 + n.random.IntN(len(order)-1)
		network.Partition(n.ids(order[:half]), n.ids(order[half:]))
	case 3:
		network.Delay(time.Duration(n.random.IntN(60)) * time.Millisecond)
	case 4:
		n.isolateLeader()
	case 5:
		n.flap(ctx, a.member.ID, b.member.ID)
	case 6:
		transfer, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		_ = a.current().TransferLeader(transfer, b.member.ID) // refused without a leader
	case 7:
		if n.restarts {
			a.restart(func() { pause(ctx, time.Duration(n.random.IntN(4000))*time.Millisecond) })
		}
	default:
		network.Heal()
	}
}

func (n *nemesis) ids(order []int) []catalog.GatewayID {
	var ids []catalog.GatewayID
	for _, i := range order {
		ids = append(ids, n.nodes[i].member.ID)
	}
	return ids
}

func (n *nemesis) isolateLeader() {
	for _, m := range n.nodes {
		if status := m.current().Status(); status.Leader == m.member.ID {
			n.cluster.Network.Isolate(m.member.ID)
		}
	}
}

// flap cuts and restores a link a few times.
func (n *nemesis) flap(ctx context.Context, a, b catalog.GatewayID) {
	for range 5 {
		n.cluster.Network.Cut(a, b)
		pause(ctx, time.Duration(n.random.IntN(200))*time.Millisecond)
		n.cluster.Network.Restore(a, b)
		pause(ctx, time.Duration(n.random.IntN(200))*time.Millisecond)
	}
}
