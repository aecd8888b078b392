package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/meshway/meshway/agent/config"
	"github.com/meshway/meshway/agent/dataplane"
	"github.com/meshway/meshway/agent/identity"
	"github.com/meshway/meshway/agent/kube"
	"github.com/meshway/meshway/agent/membership"
	"github.com/meshway/meshway/agent/status"
)

const (
	// leaveTimeout is how long an agent whose chart is being uninstalled tries to
	// tell the federation; then it goes without a word.
	leaveTimeout = 20 * time.Second
	// leaveRetry is after a try for which there was no leader.
	leaveRetry = time.Second
	// cleanUpTimeout bounds one clean-up of the node.
	cleanUpTimeout = 20 * time.Second
	cleanUpRetry   = 5 * time.Second
	// resumeDelay is how long the Job of an uninstallation has to be gone until
	// the agent works again: helm deletes it just before the agent itself.
	resumeDelay = 30 * time.Second
)

// stateUninstalled is no state of an agent but what remains of one.
const stateUninstalled status.State = "uninstalled"

// errUninstalled ends what an agent does because its chart is being uninstalled.
var errUninstalled = errors.New("the chart is being uninstalled")

// untilUninstalled returns errUninstalled when the chart is being uninstalled,
// after last; nil when ctx ends before.
func untilUninstalled(ctx context.Context, chart *kube.UninstallWatcher, last func(context.Context)) error {
	for {
		changed := chart.Changed()
		if chart.Current() {
			last(ctx)
			return errUninstalled
		}
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		}
	}
}

// leaveForGood takes the datacenter out of its federation, if it is in one.
func leaveForGood(ctx context.Context, a *membership.Agent, store *identity.Store, log *slog.Logger) {
	limited, cancel := context.WithTimeout(ctx, leaveTimeout)
	defer cancel()
	progress := func(step, message string) { log.Info(message, "step", step) }
	for {
		if _, member, err := store.Membership(); err == nil && !member {
			return
		}
		err := a.Leave(limited, false, progress)
		if err == nil || ctx.Err() != nil {
			return
		}
		log.Warn("the federation could not be told yet that the datacenter leaves", "err", err)
		select {
		case <-time.After(leaveRetry):
		case <-limited.Done():
			if err := a.Leave(ctx, true, progress); err != nil {
				log.Error("the federation could not be left", "err", err)
			}
			return
		}
	}
}

// retire removes everything of Meshway from this node and then waits for the
// end, which the DaemonSet's deletion brings: an agent that ended by itself would be
// started again. It works again when the uninstallation is called off.
func retire(ctx context.Context, cfg config.Config, chart *kube.UninstallWatcher, log *slog.Logger) error {
	log.Info("the chart is being uninstalled: this node is cleaned up")
	for {
		err := cleanUp(ctx, cfg, log)
		if err == nil {
			break
		}
		log.Error("this node could not be cleaned up", "err", err, "retry", cleanUpRetry)
		select {
		case <-ctx.Done():
			return err
		case <-time.After(cleanUpRetry):
		}
	}
	log.Info("nothing of Meshway is left on this node but two empty directories",
		"data", cfg.DataDir, "run", filepath.Dir(cfg.Admin.Socket))
	group, ctx := errgroup.WithContext(ctx)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	group.Go(func() error {
		return serveMetrics(ctx, cfg.Metrics.Listen, func() status.Snapshot {
			return status.Snapshot{At: time.Now(), State: stateUninstalled}
		}, log)
	})
	group.Go(func() error {
		defer cancel()
		awaitInstalled(ctx, chart)
		return nil
	})
	return group.Wait()
}

// cleanUp goes on when ctx ends: half a clean-up is the worst of all.
func cleanUp(ctx context.Context, cfg config.Config, log *slog.Logger) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanUpTimeout)
	defer cancel()
	kernel, err := dataplaneToRemove(ctx, cfg, log)
	if err != nil {
		return err
	}
	if err := dataplane.CleanUp(ctx, kernel, cfg.Routing.Table); err != nil {
		return err
	}
	if err := os.Remove(cfg.Admin.Socket); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("delete socket: %w", err)
	}
	return empty(cfg.DataDir)
}

// empty deletes what is in a directory, which itself is a mount of the container.
func empty(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("empty data directory: %w", err)
	}
	for _, entry := range entries {
		err = errors.Join(err, os.RemoveAll(filepath.Join(dir, entry.Name())))
	}
	if err != nil {
		return fmt.Errorf("empty data directory: %w", err)
	}
	return nil
}

// awaitInstalled returns when ctx ends, or the uninstallation has been called off.
func awaitInstalled(ctx context.Context, chart *kube.UninstallWatcher) {
	for {
		changed := chart.Changed()
		var resume <-chan time.Time
		if !chart.Current() {
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
