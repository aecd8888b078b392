//go:build linux && root

package history_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/agent/status"
	"github.com/meshway/meshway/e2e/harness"
)

// guest is a datacenter that comes and goes. It has no services.
type guest struct {
	dc      *harness.Datacenter
	member  bool
	stopped bool
	head    uint64 // the index that the federation had when it was stopped
}

// guestFaults returns the faults that the guest can have now.
func (f *federation) guestFaults() []fault {
	switch {
	case !f.guest.member:
		return []fault{f.guestJoins()}
	case f.guest.stopped:
		return []fault{f.guestCatchesUp()}
	}
	return []fault{f.guestLeaves(), f.guestIsRemoved(), f.guestStops()}
}

func (f *federation) guestJoins() fault     { return fault{"a datacenter joined", f.joinGuest} }
func (f *federation) guestLeaves() fault    { return fault{"a datacenter left", f.letGuestLeave} }
func (f *federation) guestIsRemoved() fault { return fault{"a datacenter was removed", f.removeGuest} }
func (f *federation) guestStops() fault     { return fault{"a member lagged", f.stopGuest} }
func (f *federation) guestCatchesUp() fault { return fault{"a snapshot was installed", f.startGuest} }

func (f *federation) joinGuest(context.Context) {
	ctx, cancel := f.within(2 * healTime)
	defer cancel()
	f.join(ctx, f.guest.dc)
	f.guest.member = true
}

// join makes a datacenter whose agent runs a member.
func (f *federation) join(ctx context.Context, dc *harness.Datacenter) {
	require.NoError(f.t, harness.Wait(ctx, dc.Name+" joins", func(ctx context.Context) error {
		inviter := f.owners[0]
		token, err := inviter.Token(ctx, "--datacenter", dc.Name)
		if err != nil {
			return err
		}
		_, err = dc.Meshctl(ctx, "join", token)
		if snapshot, statusErr := dc.Status(ctx); statusErr == nil && snapshot.State == status.Member {
			return nil // the answer may be lost
		}
		return err
	}))
}

// stopGuest keeps the guest down while the others write.
func (f *federation) stopGuest(context.Context) {
	snapshot, err := f.owners[0].Status(f.t.Context())
	require.NoError(f.t, err)
	f.guest.dc.Agent.Kill()
	f.guest.stopped, f.guest.head = true, snapshot.Catalog.AppliedIndex
}

// trailing is how many entries a log keeps before a snapshot: twice the threshold.
const trailing = 128

// startGuest starts the guest when the leader no longer has the entries that it lacks.
func (f *federation) startGuest(context.Context) {
	f.repair()
	ctx, cancel := f.within(3 * healTime)
	defer cancel()
	require.NoError(f.t, harness.Wait(ctx, "the leader cuts its log", func(context.Context) error {
		leader := f.leader()
		if index := f.newestSnapshot(leader); index < f.guest.head+trailing {
			return fmt.Errorf("the snapshot of %s is that of index %d, and the guest was stopped at %d", leader.Name, index, f.guest.head)
		}
		return nil
	}))
	before := len(f.guest.dc.Agent.Log())
	require.Empty(f.t, f.start(f.guest.dc, true))
	f.guest.stopped = false
	require.NoError(f.t, harness.Wait(ctx, "the guest installs a snapshot", func(context.Context) error {
		if !strings.Contains(f.guest.dc.Agent.Log()[before:], "nstalled remote snapshot") {
			return errors.New("its log has none")
		}
		return nil
	}))
}

// newestSnapshot returns the index of the newest snapshot that a member has; 0: it has
// none.
func (f *federation) newestSnapshot(dc *harness.Datacenter) uint64 {
	entries, _ := os.ReadDir(f.disks[dc.Name].Path("meshway", "raft", "snapshots"))
	var newest uint64
	for _, e := range entries { // TERM-INDEX-TIME
		parts := strings.Split(e.Name(), "-")
		if len(parts) == 3 {
			index, _ := strconv.ParseUint(parts[1], 10, 64)
			newest = max(newest, index)
		}
	}
	return newest
}

// letGuestLeave is what the operator of the guest does. Its agent runs on.
func (f *federation) letGuestLeave(context.Context) {
	ctx, cancel := f.within(2 * healTime)
	defer cancel()
	f.leave(ctx)
}

func (f *federation) leave(ctx context.Context, flags ...string) {
	require.NoError(f.t, harness.Wait(ctx, "the guest leaves", func(ctx context.Context) error {
		_, err := f.guest.dc.Meshctl(ctx, append([]string{"leave", "--yes"}, flags...)...)
		if snapshot, statusErr := f.guest.dc.Status(ctx); statusErr == nil && snapshot.State == status.Standalone {
			return nil
		}
		return err
	}))
	f.guest.member = false
}

// removeGuest removes the guest while it is down. When it runs again, it answers no
// current read.
func (f *federation) removeGuest(ctx context.Context) {
	f.guest.dc.Agent.Kill()
	f.remove(f.guest.dc)
	require.Empty(f.t, f.start(f.guest.dc, false))
	f.pause(ctx)
	limited, cancel := f.within(2 * healTime)
	defer cancel()
	f.leave(limited, "--force")
}

// remove removes a datacenter whose agent is down.
func (f *federation) remove(dc *harness.Datacenter) {
	ctx, cancel := f.within(3 * healTime)
	defer cancel()
	require.NoError(f.t, harness.Wait(ctx, dc.Name+" is removed", func(ctx context.Context) error {
		var errs []error
		for _, by := range f.owners {
			if by == dc {
				continue
			}
			_, err := by.Meshctl(ctx, "datacenter", "remove", dc.Name, "--yes", "--force")
			errs = append(errs, err)
			snapshot, err := by.Status(ctx)
			if err == nil && !slices.ContainsFunc(snapshot.Datacenters, func(d status.Datacenter) bool { return d.Name == dc.Name }) {
				return nil
			}
		}
		return errors.Join(errs...)
	}))
}

// rejoin admits a datacenter again that has lost its catalog.
func (f *federation) rejoin(dc *harness.Datacenter) {
	f.remove(dc)
	ctx, cancel := f.within(2 * healTime)
	defer cancel()
	_, err := dc.Gateway.Exec(ctx, f.binaries.Meshd, "uninstall", "--force", "--config", harness.ConfigFile)
	require.NoError(f.t, err)
	require.Empty(f.t, f.start(dc, false))
	f.join(ctx, dc)
	require.NoError(f.t, harness.AwaitVoters(ctx, len(f.owners), f.owners...))
}
