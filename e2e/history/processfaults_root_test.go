//go:build linux && root

package history_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/agent/status"
	"github.com/meshway/meshway/e2e/harness"
)

// fault is a kind of fault. inject injects it, waits and removes it, unless it cannot
// occur now.
type fault struct {
	kind   string
	inject func(context.Context)
}

// stopping are the faults after which an agent starts.
func (f *federation) stopping() []fault {
	return []fault{
		{"an agent was killed", f.kill},
		{"a disk was full", f.fullDisk},
		{"a write was torn", f.tornWrite},
		{"a bit changed", f.changedBit},
	}
}

// passing are those that leave the agents running.
func (f *federation) passing() []fault {
	return []fault{
		{"an agent was paused", f.pauseAgent},
		{"a datacenter was alone", f.isolate},
		{"a link was cut", f.cut},
		{"a link had one direction", f.oneWay},
		{"a link flapped", f.flap},
		{"the leader was alone", f.isolateLeader},
		{"leadership was transferred", f.transfer},
		{"a disk was slow", f.slowDisk},
	}
}

// each injects each fault once. Those after which an agent starts come first: it takes
// a snapshot up to a minute later, which the guest lacks when it comes back.
func (f *federation) each(ctx context.Context) {
	for _, faults := range [][]fault{
		{f.guestJoins(), f.guestStops()}, f.stopping(), f.passing(), {f.guestCatchesUp(), f.guestLeaves(), f.guestJoins(), f.guestIsRemoved()},
	} {
		for _, kind := range faults {
			f.inject(ctx, kind)
		}
	}
}

// some injects random faults for a time.
func (f *federation) some(ctx context.Context) {
	for end := time.Now().Add(roundTime); time.Now().Before(end); {
		all := slices.Concat(f.stopping(), f.passing(), f.guestFaults())
		f.inject(ctx, all[f.random.IntN(len(all))])
	}
}

func (f *federation) inject(ctx context.Context, kind fault) {
	f.replaceEnded()
	began := time.Now()
	kind.inject(ctx)
	f.injected[kind.kind]++
	f.t.Logf("%s, for %s", kind.kind, time.Since(began).Round(time.Millisecond))
}

// two returns two owners at random.
func (f *federation) two() (a, b *harness.Datacenter) {
	order := f.random.Perm(len(f.owners))
	return f.owners[order[0]], f.owners[order[1]]
}

// pause is how long a fault lasts.
func (f *federation) pause(ctx context.Context) {
	sleep(ctx, time.Duration(500+f.random.IntN(3500))*time.Millisecond)
}

func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

func (f *federation) kill(ctx context.Context) {
	a, _ := f.two()
	a.Agent.Kill()
	f.pause(ctx)
	require.Empty(f.t, f.start(a, true))
}

// start starts an agent with clocks of its own, which differ from those that it had
// before, and returns why it refuses to start; empty: it answers, and takes part if it
// is a member.
func (f *federation) start(dc *harness.Datacenter, member bool) (refusal string) {
	before := len(dc.Agent.Log())
	ahead := fmt.Sprint(1 + f.random.IntN(1<<20)) // seconds
	var err error
	dc.Agent, err = dc.Gateway.Start("meshd", "unshare", "--time", "--boottime", ahead, "--monotonic", ahead,
		f.binaries.Meshd, "run", "--config", harness.ConfigFile)
	require.NoError(f.t, err)
	ctx, cancel := f.within(healTime)
	defer cancel()
	require.NoError(f.t, harness.Wait(ctx, "meshd on "+dc.Name+" takes part or ends", func(ctx context.Context) error {
		select {
		case <-dc.Agent.Done():
			refusal = dc.Agent.Log()[before:]
			return nil
		default:
		}
		snapshot, err := dc.Status(ctx) // it answers before it has read its catalog
		if err == nil && member && (snapshot.State != status.Member || snapshot.Catalog.Role == "") {
			err = errNoRole
		}
		return err
	}))
	if refusal == "" {
		require.NotEqual(f.t, clocksOf(os.Getpid()), clocksOf(dc.Agent.PID()), "%s has clocks of its own", dc.Name)
	}
	return refusal
}

var errNoRole = errors.New("it has no role in raft")

// clocksOf returns the name of the namespace of the clocks of a process; empty: it has
// ended.
func clocksOf(pid int) string {
	name, _ := os.Readlink(fmt.Sprintf("/proc/%d/ns/time", pid))
	return name
}

func (f *federation) pauseAgent(ctx context.Context) {
	a, _ := f.two()
	require.NoError(f.t, a.Agent.Pause())
	f.pause(ctx)
	require.NoError(f.t, a.Agent.Resume())
}

func (f *federation) isolate(ctx context.Context) {
	a, _ := f.two()
	f.alone(ctx, a)
}

func (f *federation) alone(ctx context.Context, dc *harness.Datacenter) {
	require.NoError(f.t, f.topology.Isolate(f.t.Context(), dc))
	f.pause(ctx)
	f.heal()
}

func (f *federation) cut(ctx context.Context) {
	a, b := f.two()
	require.NoError(f.t, f.topology.Cut(f.t.Context(), a, b))
	f.pause(ctx)
	f.heal()
}

func (f *federation) oneWay(ctx context.Context) {
	a, b := f.two()
	match := fmt.Sprintf("ip saddr %s ip daddr %s", a.Underlay.Addr(), b.Underlay.Addr())
	require.NoError(f.t, f.topology.Filter(f.t.Context(), match))
	f.pause(ctx)
	f.heal()
}

func (f *federation) flap(ctx context.Context) {
	a, b := f.two()
	for range 5 {
		require.NoError(f.t, f.topology.Cut(f.t.Context(), a, b))
		sleep(ctx, time.Duration(f.random.IntN(400))*time.Millisecond)
		f.heal()
		sleep(ctx, time.Duration(f.random.IntN(400))*time.Millisecond)
	}
}

// isolateLeader cuts off the leader. One that the guest has is left to it.
func (f *federation) isolateLeader(ctx context.Context) {
	f.alone(ctx, f.leader())
}

// leader waits until a datacenter leads, and returns it.
func (f *federation) leader() (leader *harness.Datacenter) {
	ctx, cancel := f.within(healTime)
	defer cancel()
	require.NoError(f.t, harness.Wait(ctx, "a datacenter leads", func(ctx context.Context) error {
		for _, dc := range f.topology.Datacenters {
			if snapshot, err := dc.Status(ctx); err == nil && snapshot.Catalog.Role == "leader" {
				leader = dc
				return nil
			}
		}
		return errNoLeader
	}))
	return leader
}

func (f *federation) transfer(ctx context.Context) {
	a, b := f.two()
	_, _ = a.Meshctl(ctx, "raft", "transfer-leader", b.Name+"/"+b.Name) // refused without a leader
	f.pause(ctx)
}
