package cluster

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/meshway/meshway/agent/dataplane"
	"github.com/meshway/meshway/agent/membership"
	"github.com/meshway/meshway/agent/notify"
)

const (
	// leaveTimeout is how long an agent whose chart is being uninstalled tries to
	// leave the federation; then it leaves without notifying the other members.
	leaveTimeout = 20 * time.Second
	// leaveRetry is the time after a try that found no leader.
	leaveRetry = time.Second
	// cleanUpTimeout bounds one clean-up of the node.
	cleanUpTimeout = 20 * time.Second
	cleanUpRetry   = 5 * time.Second
	// resumeDelay is how long the Job of an uninstallation must be gone before the
	// agent works again: Helm deletes the Job just before the agent.
	resumeDelay = 30 * time.Second
)

// errUninstalled ends a role because the chart is being uninstalled.
var errUninstalled = errors.New("the chart is being uninstalled")

// awaitUninstallation waits until the chart is being uninstalled. It returns
// false if ctx ends before.
func awaitUninstallation(ctx context.Context, u Uninstallation) bool {
	return notify.LoopUntil(ctx, 0, func(context.Context) bool { return u.Current() }, u.Changed)
}

// leave removes the datacenter from its federation, if it is in one.
func (s *Supervisor) leave(ctx context.Context, a *membership.Agent) {
	log := s.cfg.Log
	limited, cancel := context.WithTimeout(ctx, leaveTimeout)
	defer cancel()
	progress := func(step, message string) { log.Info(message, "step", step) }
	for {
		if _, member, err := s.cfg.Identity.Membership(); err == nil && !member {
			return
		}
		err := a.Leave(limited, membership.LeaveOptions{}, progress)
		if err == nil || ctx.Err() != nil {
			return
		}
		log.Warn("failed to leave the federation", "err", err, "retry", leaveRetry)
		select {
		case <-time.After(leaveRetry):
		case <-limited.Done():
			if err := a.Leave(ctx, membership.LeaveOptions{Force: true}, progress); err != nil {
				log.Error("failed to leave the federation", "err", err)
			}
			return
		}
	}
}

// uninstall removes everything of Meshway from this node. It then keeps running
// until the DaemonSet is deleted, because an agent that exits would be restarted. It
// returns when the uninstallation is cancelled.
func (s *Supervisor) uninstall(ctx context.Context) error {
	log := s.cfg.Log
	log.Info("the chart is being uninstalled; cleaning up this node")
	for {
		err := s.cfg.Host.remove(ctx)
		if err == nil {
			break
		}
		log.Error("failed to clean up this node", "err", err, "retry", cleanUpRetry)
		select {
		case <-ctx.Done():
			return err
		case <-time.After(cleanUpRetry):
		}
	}
	log.Info("removed everything of Meshway from this node except two empty directories",
		"dataDir", s.cfg.Host.DataDir, "socketDir", filepath.Dir(s.cfg.Host.Socket))
	group, ctx := errgroup.WithContext(ctx)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	group.Go(func() error { return s.cfg.ServeUninstalled(ctx) })
	group.Go(func() error {
		defer cancel()
		awaitCancellation(ctx, s.cfg.Uninstallation)
		return nil
	})
	return group.Wait()
}

// remove continues after ctx ends: a partial clean-up is worse than a delay.
func (h HostCleanup) remove(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanUpTimeout)
	defer cancel()
	kernel, err := h.Kernel(ctx)
	if err != nil {
		return err
	}
	if err := dataplane.CleanUp(ctx, kernel, h.Table); err != nil {
		return err
	}
	if err := os.Remove(h.Socket); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("delete the socket: %w", err)
	}
	return emptyDirectory(h.DataDir)
}

// emptyDirectory deletes the content of a directory, which is itself a mount of
// the container.
func emptyDirectory(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("empty the data directory: %w", err)
	}
	for _, entry := range entries {
		err = errors.Join(err, os.RemoveAll(filepath.Join(dir, entry.Name())))
	}
	if err != nil {
		return fmt.Errorf("empty the data directory: %w", err)
	}
	return nil
}

// awaitCancellation returns when the uninstallation has been cancelled for
// resumeDelay, or when ctx ends.
func awaitCancellation(ctx context.Context, u Uninstallation) {
	for {
		changed := u.Changed()
		var resume <-chan time.Time
		if !u.Current() {
			resume = time.After(resumeDelay)
		}
		select {
		case <-ctx.Done():
			return
		case <-resume:
			return
		case <-changed:
		}
	}
}
