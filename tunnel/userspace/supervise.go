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
	// superviseInterval is how often requests are looked for, beside being told of
	// them; pollRequests is how often where the host cannot tell.
	superviseInterval = 10 * time.Second
	pollRequests      = 100 * time.Millisecond
	restartInterval   = time.Second
)

// Supervisor runs one data plane process for each interface that an agent asks
// for in Dir (see Remote). It and its processes outlive the agent.
type Supervisor struct {
	Dir        string
	Executable string       // empty: this program
	Log        *slog.Logger // nil: discard
}

// Run starts and ends processes until ctx ends; then it ends all of them. The
// requests stay: the next supervisor starts the same.
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
		s.Log.Warn("the host cannot tell of requests; they are looked for all the time", "err", err)
		return s.supervise(ctx, changed, pollRequests)
	}
	var watching sync.WaitGroup
	defer watching.Wait()
	defer events.Close() // ends tell
	watching.Go(func() { notify(events, changed) })
	return s.supervise(ctx, changed, superviseInterval)
}

// lane is the process of one interface, which is kept running.
type lane struct {
	cancel context.CancelFunc
	done   chan struct{} // closed when it is gone
}

// supervise runs what is wanted, and looks for that when it may have changed
// and from time to time.
func (s Supervisor) supervise(ctx context.Context, changed <-chan struct{}, interval time.Duration) error {
	var lanes sync.WaitGroup
	defer lanes.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	running, former := map[string]lane{}, map[string]lane{}
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
				former[name] = l
			}
		}
		for name, mtu := range wanted {
			if _, ok := running[name]; ok {
				continue
			}
			laneCtx, end := context.WithCancel(ctx)
			next, before := lane{end, make(chan struct{})}, former[name].done
			running[name] = next
			lanes.Go(func() {
				defer close(next.done)
				if before != nil {
					<-before // it may have given up its interface, and still have its port
				}
				s.runLane(laneCtx, name, mtu)
			})
		}
		select {
		case <-changed:
		case <-tick.C:
		case <-ctx.Done():
			_ = os.Remove(s.Dir) // only when nothing is asked for: after an uninstallation
			return nil
		}
	}
}

// runLane runs the process of one interface, again when it ends by itself.
func (s Supervisor) runLane(ctx context.Context, name string, mtu int) {
	for ctx.Err() == nil {
		cmd := exec.CommandContext(ctx, s.Executable, command, flagInterface, name, flagMTU, strconv.Itoa(mtu))
		cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
		cmd.WaitDelay = 3 * time.Second // then it is killed
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
		err := cmd.Run()
		if ctx.Err() != nil {
			s.Log.Info("data plane ended", "interface", name)
			return
		}
		s.Log.Error("data plane ended by itself; it is started again", "interface", name, "err", err)
		select {
		case <-time.After(restartInterval):
		case <-ctx.Done():
		}
	}
}
