package userspace

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/vishvananda/netlink"
)

// pollInterval is the time between checks of a starting or ending process.
const pollInterval = 10 * time.Millisecond

// maxLog is the size in bytes above which a log is truncated when its process starts.
const maxLog = 1 << 20

// Config configures a Backend.
type Config struct {
	// Executable and Args start the data plane; "--interface NAME --mtu N"
	// is appended. Default: this program with the argument "wireguard".
	Executable string
	Args       []string
	// LogDir is the directory of NAME.log, the output of the process. It is
	// created with mode 0700.
	LogDir string
	Log    *slog.Logger // nil: discard
}

// Backend starts one wireguard-go process per interface. It keeps no record of
// them: the kernel has the process that serves an interface (see findProcess),
// so that no stale pid file can make Backend signal the wrong process.
type Backend struct{ cfg Config }

// New returns a backend. It starts no process yet.
func New(cfg Config) *Backend {
	if cfg.Args == nil {
		cfg.Args = []string{command}
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Backend{cfg: cfg}
}

// Kind implements device.Backend.
func (*Backend) Kind() string { return "userspace" }

// Server returns the process that serves an interface, 0 if there is none.
func (*Backend) Server(name string) int {
	pid, err := serverPID(name)
	if err != nil {
		return 0
	}
	return pid
}

// Create implements device.Backend. It starts the process, detached from the
// agent, and returns when it accepts connections on its socket. The process
// outlives the agent; ctx bounds only the wait. A process that does not become
// ready in time is terminated.
func (b *Backend) Create(ctx context.Context, name string, mtu int) error {
	if err := checkTUN(); err != nil {
		return err
	}
	log, err := b.openLog(name)
	if err != nil {
		return err
	}
	defer log.Close()
	begin, _ := log.Seek(0, io.SeekEnd) // used for an error message only
	cmd, err := b.command(name, mtu)
	if err != nil {
		return err
	}
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start data plane process of %s: %w", name, err)
	}
	exited := make(chan error, 1)
	// This goroutine reaps the process. It ends with the process, which may
	// outlive this agent, so nothing waits for the goroutine.
	go func() { exited <- cmd.Wait() }()
	b.cfg.Log.Info("started data plane process", "device", name, "pid", cmd.Process.Pid)
	return awaitReady(ctx, name, cmd, exited, func() string { return lastLine(log.Name(), begin) })
}

// Remove implements device.Backend. It terminates the process and waits for its
// end, which removes the interface. A missing interface is no error.
func (b *Backend) Remove(ctx context.Context, name string) error {
	process, err := findProcess(name)
	if err != nil {
		return deleteLink(name) // no process serves it, or it is not accessible
	}
	defer process.Release()
	if err := process.terminate(ctx); err != nil {
		return fmt.Errorf("terminate data plane process of %s: %w", name, err)
	}
	b.cfg.Log.Info("terminated data plane process", "device", name, "pid", process.pid)
	return deleteLink(name)
}

func (b *Backend) command(name string, mtu int) (*exec.Cmd, error) {
	exe := b.cfg.Executable
	if exe == "" {
		var err error
		if exe, err = os.Executable(); err != nil {
			return nil, fmt.Errorf("find own executable: %w", err)
		}
	}
	args := append(append([]string{}, b.cfg.Args...), flagInterface, name, flagMTU, strconv.Itoa(mtu))
	cmd := exec.Command(exe, args...)
	// In its own session the process does not receive signals for the agent's
	// terminal or process group. The root directory keeps no file system busy.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	cmd.Dir = "/"
	return cmd, nil
}

func (b *Backend) openLog(name string) (*os.File, error) {
	if err := os.MkdirAll(b.cfg.LogDir, 0o700); err != nil {
		return nil, fmt.Errorf("create log directory: %w", err)
	}
	path := filepath.Join(b.cfg.LogDir, name+".log")
	flags := os.O_CREATE | os.O_APPEND | os.O_RDWR
	if info, err := os.Stat(path); err == nil && info.Size() > maxLog {
		flags |= os.O_TRUNC
	}
	f, err := os.OpenFile(path, flags, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open data plane log: %w", err)
	}
	return f, nil
}

// awaitReady waits until the process serves its socket. It returns an error if
// the process exits or ctx ends before.
func awaitReady(ctx context.Context, name string, cmd *exec.Cmd, exited <-chan error, reason func() string) error {
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		if p, err := findProcess(name); err == nil {
			same := p.pid == cmd.Process.Pid
			p.Release()
			if same {
				return nil
			}
		}
		select {
		case <-tick.C:
		case err := <-exited:
			return fmt.Errorf("data plane process of %s exited (%w): %s", name, err, reason())
		case <-ctx.Done():
			_ = cmd.Process.Signal(syscall.SIGTERM) // fails if the process has just exited
			return fmt.Errorf("wait for data plane process of %s: %w", name, ctx.Err())
		}
	}
}

// lastLine returns the last line of a log after offset.
func lastLine(path string, offset int64) string {
	raw, err := os.ReadFile(path)
	if err != nil || offset > int64(len(raw)) {
		return "see " + path
	}
	lines := strings.Split(strings.TrimSpace(string(raw[offset:])), "\n")
	if last := lines[len(lines)-1]; last != "" {
		return last
	}
	return "it has written nothing to " + path
}

func deleteLink(name string) error {
	link, err := netlink.LinkByName(name)
	if errors.As(err, new(netlink.LinkNotFoundError)) {
		return nil
	}
	if err == nil {
		err = netlink.LinkDel(link)
	}
	if err != nil && !errors.Is(err, syscall.ENODEV) {
		return fmt.Errorf("delete link %s: %w", name, err)
	}
	return nil
}
