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

// pollInterval is how often a starting or ending process is looked at.
const pollInterval = 10 * time.Millisecond

// maxLog is the size in bytes from which a log is begun anew when its process starts.
const maxLog = 1 << 20

// Config is what a Backend needs.
type Config struct {
	// Executable and Args start the data plane; "--interface NAME --mtu N"
	// is appended. Default: this program with the argument "wireguard".
	Executable string
	Args       []string
	// LogDir gets NAME.log, what the process writes. It is made with mode 0700.
	LogDir string
	Log    *slog.Logger // nil: discard
}

// Backend starts one wireguard-go process per interface. It keeps no record
// of them: who serves an interface is asked of the kernel (see owner), so
// that no stale pid file can ever make it signal the wrong process.
type Backend struct{ cfg Config }

// New prepares a backend; it starts nothing.
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

// Server returns the process that serves an interface, 0 if none does.
func (*Backend) Server(name string) int {
	pid, err := serverPID(name)
	if err != nil {
		return 0
	}
	return pid
}

// Create implements device.Backend: it starts the process, detached from the
// agent, and returns when it answers on its socket. The process outlives the
// agent; ctx bounds only the wait. A process that does not become ready in
// time is ended again.
func (b *Backend) Create(ctx context.Context, name string, mtu int) error {
	if err := checkTUN(); err != nil {
		return err
	}
	log, err := b.openLog(name)
	if err != nil {
		return err
	}
	defer log.Close()
	begin, _ := log.Seek(0, io.SeekEnd) // only where an error message is read from
	cmd, err := b.command(name, mtu)
	if err != nil {
		return err
	}
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start data plane of %s: %w", name, err)
	}
	exited := make(chan error, 1)
	// Reaps the process. It ends when the process ends, which may well be
	// after this agent, hence nobody waits for it.
	go func() { exited <- cmd.Wait() }()
	b.cfg.Log.Info("data plane started", "interface", name, "pid", cmd.Process.Pid)
	return awaitReady(ctx, name, cmd, exited, func() string { return lastLine(log.Name(), begin) })
}

// Remove implements device.Backend. It asks the process to end and waits;
// the interface goes with its process. A missing interface is nil.
func (b *Backend) Remove(ctx context.Context, name string) error {
	process, err := findProcess(name)
	if err != nil {
		return deleteLink(name) // nobody serves it, or we may not ask: the link must go anyway
	}
	defer process.Release()
	if err := process.terminate(ctx); err != nil {
		return fmt.Errorf("end data plane of %s: %w", name, err)
	}
	b.cfg.Log.Info("data plane ended", "interface", name, "pid", process.pid)
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
	// An own session: no signal that is meant for the agent's terminal or
	// process group reaches it. The root directory pins no file system.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	cmd.Dir = "/"
	return cmd, nil
}

func (b *Backend) openLog(name string) (*os.File, error) {
	if err := os.MkdirAll(b.cfg.LogDir, 0o700); err != nil {
		return nil, fmt.Errorf("make log directory: %w", err)
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

// awaitReady waits until the process answers, ends, or ctx does.
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
			return fmt.Errorf("data plane of %s ended at once (%w): %s", name, err, reason())
		case <-ctx.Done():
			_ = cmd.Process.Signal(syscall.SIGTERM) // it may have just ended by itself
			return fmt.Errorf("wait for data plane of %s: %w", name, ctx.Err())
		}
	}
}

// lastLine is the last line of a log after offset.
func lastLine(path string, offset int64) string {
	raw, err := os.ReadFile(path)
	if err != nil || offset > int64(len(raw)) {
		return "see " + path
	}
	lines := strings.Split(strings.TrimSpace(string(raw[offset:])), "\n")
	if last := lines[len(lines)-1]; last != "" {
		return last
	}
	return "it wrote nothing to " + path
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
