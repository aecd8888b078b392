package userspace

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"syscall"
	"time"
)

const (
	// superviseInterval is the time after which requests are read without an
	// event; pollRequests is the same on a host without inotify.
	superviseInterval = 10 * time.Second
	pollRequests      = 100 * time.Millisecond
	restartInterval   = time.Second
)

// Supervisor runs one data plane process for each interface that an agent
// requests in Dir (see Remote). The supervisor and its processes outlive the agent.
type Supervisor struct {
	Dir        string
	Executable string       // empty: this program
	Log        *slog.Logger // nil: discard
}

// Run starts and terminates processes until ctx ends, and then terminates all of
// them. The requests are kept: the next supervisor starts the same processes.
func (s Supervisor) Run(ctx context.Context) error {
	if s.Log == nil {
		s.Log = slog.New(slog.DiscardHandler)
	}
	if s.Executable == "" {
		var err error
		if s.Executable, err = os.Executable(); err != nil {
			return fmt.Errorf("find own executable: %w", err)
		}
	}
	if err := errors.Join(checkTUN(), os.MkdirAll(s.Dir, 0o700)); err != nil {
		return err
	}
	changed := make(chan struct{}, 1)
	events, err := watchRequests(s.Dir)
	if err != nil {
		s.Log.Warn("failed to watch for data plane requests; polling instead", "err", err)
		return s.supervise(ctx, changed, pollRequests)
	}
	var watching sync.WaitGroup
	defer watching.Wait()
	defer events.Close() // ends notify
	watching.Go(func() { notify(events, changed) })
	return s.supervise(ctx, changed, superviseInterval)
}

// lane is the process of one interface, which is restarted when it exits.
type lane struct {
	cancel context.CancelFunc
	done   chan struct{} // closed when it is gone
}

// supervise runs the requested processes. It reads the requests after each
// change and after each interval.
func (s Supervisor) supervise(ctx context.Context, changed <-chan struct{}, interval time.Duration) error {
	var lanes sync.WaitGroup
	defer lanes.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	running, stopping := map[string]lane{}, map[string]lane{}
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		wanted, err := requests(s.Dir)
		if err != nil {
			return err
		}
		for name, l := range running {
			if _, ok := wanted[name]; !ok {
				l.cancel()
				delete(running, name)
				stopping[name] = l
			}
		}
		for name, mtu := range wanted {
			if _, ok := running[name]; ok {
				continue
			}
			laneCtx, stop := context.WithCancel(ctx)
			next, before := lane{stop, make(chan struct{})}, stopping[name].done
			running[name] = next
			lanes.Go(func() {
				defer close(next.done)
				if before != nil {
					<-before // its interface may be gone while its port is still open
				}
				s.runLane(laneCtx, name, mtu)
			})
		}
		select {
		case <-changed:
		case <-tick.C:
		case <-ctx.Done():
			_ = os.Remove(s.Dir) // succeeds only without requests: after an uninstallation
			return nil
		}
	}
}

// runLane runs the process of one interface until ctx ends, and restarts it when
// it exits before.
func (s Supervisor) runLane(ctx context.Context, name string, mtu int) {
	for ctx.Err() == nil {
		cmd := exec.CommandContext(ctx, s.Executable, command, flagInterface, name, flagMTU, strconv.Itoa(mtu))
		cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
		cmd.WaitDelay = 3 * time.Second // after which it is killed
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
		err := cmd.Run()
		if ctx.Err() != nil {
			s.Log.Info("terminated data plane process", "device", name)
			return
		}
		s.Log.Error("data plane process exited; restarting it", "device", name, "err", err)
		select {
		case <-time.After(restartInterval):
		case <-ctx.Done():
		}
	}
}
