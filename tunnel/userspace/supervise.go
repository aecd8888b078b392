package userspace

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	// superviseInterval is how soon a request is seen, and how often a process
	// that ended is started again.
	superviseInterval = 100 * time.Millisecond
	restartInterval   = time.Second
	// partialPrefix marks a request that is being written.
	partialPrefix = "."
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
	var lanes sync.WaitGroup
	defer lanes.Wait()
	running := map[string]context.CancelFunc{}
	tick := time.NewTicker(superviseInterval)
	defer tick.Stop()
	for {
		wanted, err := requests(s.Dir)
		if err != nil {
			return err
		}
		for name, mtu := range wanted {
			if running[name] == nil {
				laneCtx, end := context.WithCancel(ctx)
				running[name] = end
				lanes.Go(func() { s.keep(laneCtx, name, mtu) })
			}
		}
		for name, end := range running {
			if _, ok := wanted[name]; !ok {
				end()
			}
		}
		maps.DeleteFunc(running, func(name string, _ context.CancelFunc) bool { _, ok := wanted[name]; return !ok })
		select {
		case <-tick.C:
		case <-ctx.Done():
			for _, end := range running {
				end()
			}
			_ = os.Remove(s.Dir) // only when nothing is asked for: after an uninstallation
			return nil
		}
	}
}

// keep runs the process of one interface, again when it ends by itself.
func (s Supervisor) keep(ctx context.Context, name string, mtu int) {
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

// requests are the MTUs of the interfaces that should exist.
func requests(dir string) (map[string]int, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("read requests: %w", err)
	}
	wanted := map[string]int{}
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), partialPrefix) {
			continue
		}
		text, err := os.ReadFile(filepath.Join(dir, entry.Name()))
		if errors.Is(err, fs.ErrNotExist) {
			continue // just taken back
		}
		if err != nil {
			return nil, fmt.Errorf("read request: %w", err)
		}
		mtu, err := strconv.Atoi(strings.TrimSpace(string(text)))
		if err != nil {
			return nil, fmt.Errorf("read request %s: %w", entry.Name(), err)
		}
		wanted[entry.Name()] = mtu
	}
	return wanted, nil
}
