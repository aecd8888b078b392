package history

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"
)

const (
	diskFull = "the disk is full: free space"
	corrupt  = "is corrupt"
)

// restart kills a member and starts it again.
func (n *nemesis) restart(ctx context.Context) {
	if running := n.running(); len(running) > 0 {
		running[0].kill()
		n.pause(ctx, 4*time.Second)
		n.start(ctx, running[0])
	}
}

// jump sets the time of day of a member, for most jumps within what a leader accepts.
func (n *nemesis) jump(context.Context) {
	if running := n.running(); len(running) > 0 {
		n.jumpBy(running[0])
	}
}

func (n *nemesis) jumpBy(m *node) {
	most := 4 * time.Minute
	if n.random.IntN(4) == 0 {
		most = 48 * time.Hour
	}
	m.host.jump(time.Duration(n.random.Int64N(int64(2*most))) - most)
}

// stopLeader cuts off a leader that does not notice it, because its log waits for the disk,
// and sets its time of day back or forward. The others have another leader soon.
func (n *nemesis) stopLeader(ctx context.Context) {
	leader := n.leader()
	if leader == nil {
		return
	}
	leader.host.hold(5 * time.Second)
	write, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
	defer cancel()
	_, _ = leader.member.Node.Propose(write, leader.register("stopped").Set(fmt.Sprint(n.random.Uint64()))) // raft waits
	n.cluster.Network.Isolate(leader.member.ID)
	n.jumpBy(leader)
	pause(ctx, 5*time.Second)
	leader.host.hold(0)
	n.cluster.Network.Heal()
}

// suspend lets time pass for a member that no timer has seen.
func (n *nemesis) suspend(context.Context) {
	if running := n.running(); len(running) > 0 {
		running[0].host.suspend(time.Duration(n.random.IntN(20)) * time.Second)
	}
}

func (n *nemesis) slowDisk(ctx context.Context) {
	if running := n.running(); len(running) > 0 {
		running[0].host.delay(time.Duration(10+n.random.IntN(1500)) * time.Millisecond)
		n.pause(ctx, 4*time.Second)
		running[0].host.delay(0)
	}
}

// fullDisk fills the disk of a member, which ends at the first write that fails, and
// refuses to start until there is room.
func (n *nemesis) fullDisk(ctx context.Context) {
	running := n.running()
	if len(running) == 0 {
		return
	}
	m := running[0]
	m.host.fill(n.random.IntN(3000))
	n.pause(ctx, 4*time.Second)
	if ended, _ := n.ended(m); ended {
		if err := m.start(nil); err == nil || !strings.Contains(err.Error(), diskFull) {
			n.fail(m, "started on a full disk: %w", err)
		}
		n.pause(ctx, 2*time.Second)
	}
	m.host.free()
	if m.state == down {
		n.start(ctx, m)
	}
}

// ended reports whether a member has ended by itself, which only a full disk and damage
// may cause, and with what error. It is down then.
func (n *nemesis) ended(m *node) (bool, error) {
	ended, err := m.member.Ended()
	if !ended {
		return false, nil
	}
	m.kill()
	switch {
	case err != nil && strings.Contains(err.Error(), diskFull):
	case err != nil && strings.Contains(err.Error(), corrupt) && m.damaged != "":
	default:
		n.fail(m, "it ended (%s): %w", m.damaged, err)
	}
	return true, err
}

// damage kills a member, changes one of its files and starts it again. The others have a
// quorum without it: two logs that are lost of three cannot be replaced.
func (n *nemesis) damage(ctx context.Context) {
	n.repair(ctx)
	for limit := time.Now().Add(10 * time.Second); !n.spares(); pause(ctx, 100*time.Millisecond) {
		if ctx.Err() != nil || time.Now().After(limit) {
			return
		}
	}
	m := n.running()[0]
	m.kill()
	n.pause(ctx, 2*time.Second)
	what, err := Damage(n.random, m.member.Dir)
	if err != nil {
		n.fail(m, "damage: %w", err)
	}
	m.damaged = what
	n.start(ctx, m)
}

// spares reports whether the log of any member can be lost. A change of the voters that
// only the leader has in its log may be lost with it, so that too few are left.
func (n *nemesis) spares() bool {
	leader := n.leader()
	if leader == nil || slices.ContainsFunc(n.nodes, func(m *node) bool { return m.state == down }) {
		return false
	}
	voters, healthy := leader.member.Voters()
	return voters >= fewest && healthy == voters && !slices.ContainsFunc(n.running(), func(m *node) bool {
		known, _ := m.member.Voters()
		return known != voters
	})
}

// start starts a member that is down. One whose files are damaged refuses, and gets
// others as documented, unless the others cannot help it now.
func (n *nemesis) start(ctx context.Context, m *node) {
	err := m.start(nil)
	switch {
	case err == nil:
	case m.damaged != "" && strings.Contains(err.Error(), corrupt):
		n.replace(ctx, m)
	default:
		n.fail(m, "it does not start (%s): %w", m.damaged, err)
	}
}

// replace moves the directory of a member away and admits it again, as the agent does
// that comes back without its log. The member stays down if that fails.
func (n *nemesis) replace(ctx context.Context, m *node) {
	other := n.other(m)
	if other == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for { // it may have answered a moment ago
		err := other.RemovePeer(ctx, m.member.ID)
		if err == nil {
			break
		}
		if pause(ctx, 500*time.Millisecond); ctx.Err() != nil {
			m.refused = err
			return
		}
	}
	m.moved++
	if err := os.Rename(m.member.Dir, fmt.Sprintf("%s.damaged-%d", m.member.Dir, m.moved)); err != nil {
		n.fail(m, "move its directory away: %w", err)
		return
	}
	m.damaged = ""
	if err := m.start(seedFrom(other)); err != nil {
		n.fail(m, "it does not start with an empty directory: %w", err)
	}
}
