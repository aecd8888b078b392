package history

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/meshway/meshway/consensus"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/consensustest"
)

// fewest is how many datacenters stay.
const fewest = 3

// join admits a member that was not one yet.
func (n *nemesis) join(ctx context.Context) {
	i := slices.IndexFunc(n.nodes, func(m *node) bool { return m.state == spare })
	running := n.running()
	if i < 0 || len(running) == 0 {
		return
	}
	m, inviter := n.nodes[i], running[0].member
	dc, gateway := m.member.Names()
	ctx, cancel := context.WithTimeout(ctx, 4*time.Second)
	defer cancel()
	create, join := consensustest.NewJoin(inviter.ID, dc, gateway)
	results, err := inviter.Node.Propose(ctx, create, join)
	if err != nil && !errors.Is(err, consensus.ErrUncertain) && !errors.Is(err, consensus.ErrBehind) ||
		slices.ContainsFunc(results, func(r catalog.Result) bool { return r.Refusal != nil }) {
		return
	}
	if err := m.start(seedFrom(inviter.Node)); err != nil {
		n.fail(m, "it does not start after its admission: %w", err)
	}
}

// leaver returns a member that may leave; nil: there is none. The owner of the services
// stays.
func (n *nemesis) leaver() *node {
	for _, m := range n.running() {
		if m.member.ID != m.owner && len(m.member.Node.View().Datacenters()) > fewest {
			return m
		}
	}
	return nil
}

// leave lets a datacenter leave, as its operator does. Its member runs on, without being
// sent the log.
func (n *nemesis) leave(ctx context.Context) {
	m := n.leaver()
	if m == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, 6*time.Second)
	defer cancel()
	if err := m.member.Node.Abstain(ctx); err != nil {
		return // it gets its votes back
	}
	results, err := m.member.Node.Submit(ctx, consensustest.NewLeave(m.member.ID))
	if err == nil && results[0].Refusal == nil {
		m.state = departed
	}
}

// remove removes a datacenter whose member is dead or cut off.
func (n *nemesis) remove(ctx context.Context) {
	m := n.leaver()
	if m == nil {
		return
	}
	n.cluster.Network.Isolate(m.member.ID)
	n.pause(ctx, 3*time.Second)
	for _, by := range n.running() { // one that answered within the last minute: two have to
		if by == m {
			continue
		}
		call, cancel := context.WithTimeout(ctx, 3*time.Second)
		results, err := by.member.Node.Propose(call, consensustest.NewRemoval(by.member.ID, m.member.ID.Datacenter(), true))
		cancel()
		if err == nil && results[0].Refusal == nil {
			m.state = departed
			break
		}
	}
	n.cluster.Network.Rejoin(m.member.ID)
}

// removeVoter removes the vote of a member that does not answer, which comes back.
func (n *nemesis) removeVoter(ctx context.Context) {
	running := n.running()
	if len(running) < fewest {
		return
	}
	m, by := running[0], running[1]
	n.cluster.Network.Isolate(m.member.ID)
	n.pause(ctx, 5*time.Second)
	call, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	_ = by.member.Node.RemovePeer(call, m.member.ID) // refused while it answers, or without a quorum
	n.cluster.Network.Rejoin(m.member.ID)
}

// settle ends all faults, and stops the members that are not in the catalog.
func (n *nemesis) settle() {
	for _, m := range n.nodes {
		m.host.free()
		if m.state == up {
			n.ended(m) //nolint:errcheck // it is down then
		}
	}
	for range 10 {
		n.repair(context.Background())
	}
	for _, m := range n.nodes {
		if m.state == down {
			n.fail(m, "it does not come back: %w", m.refused)
		}
	}
	for _, m := range n.nodes {
		m.host.jump(0)
	}
	n.cluster.Until("raft's members to be those of the catalog", n.agrees)
	for _, m := range n.nodes {
		if m.state == departed {
			m.kill()
			m.state = departed
		}
	}
}

// agrees reports whether raft's members, those of the catalog and those that run are the
// same.
func (n *nemesis) agrees() bool {
	leader := n.leader()
	if leader == nil {
		return false
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	// A new leader may have a departure in its log that it has not applied.
	view, _, err := leader.member.Node.Read(ctx, consensus.ConsistentRead)
	if err != nil {
		return false
	}
	listed := map[catalog.GatewayID]bool{}
	for _, g := range view.Gateways() {
		listed[g.ID()] = true
	}
	peers := leader.member.Node.Status().Peers
	for _, m := range n.nodes {
		if m.state == up && !listed[m.member.ID] { // its departure was not acknowledged
			m.state = departed
		}
	}
	return len(peers) == len(listed) && !slices.ContainsFunc(peers, func(p consensus.Peer) bool { return !listed[p.ID] })
}
