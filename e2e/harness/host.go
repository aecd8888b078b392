//go:build linux

package harness

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// Host is a set of network, mount, UTS and PID namespaces with a first process.
type Host struct {
	name       string
	dir        string
	log        *slog.Logger
	init       *exec.Cmd
	ended      chan struct{} // closed once the first process has been waited for
	namespaces *namespaces
	netlink    *netlink.Handle
	close      func() error // calls shutdown once
}

// Name returns the host's name.
func (h *Host) Name() string { return h.name }

// PID returns the host's first process in the machine's PID namespace, for
// nsenter.
func (h *Host) PID() int { return h.init.Process.Pid }

// Enter returns the prefix of a command line that runs a program in the host.
func (h *Host) Enter() string {
	return fmt.Sprintf("nsenter -t %d -m -u -n -p", h.PID())
}

func startHost(ctx context.Context, name, dir string, log *slog.Logger) (*Host, error) {
	lib := filepath.Join(dir, "lib")
	if err := os.MkdirAll(lib, 0o755); err != nil {
		return nil, fmt.Errorf("create host directory: %w", err)
	}
	h := &Host{name: name, dir: dir, log: log, ended: make(chan struct{})}
	h.close = sync.OnceValue(h.shutdown)
	if err := h.startInit(ctx, lib); err != nil {
		return nil, err
	}
	if err := h.open(); err != nil {
		return nil, errors.Join(err, h.Close())
	}
	return h, nil
}

// startInit starts the first process and waits until it has set up the host.
func (h *Host) startInit(ctx context.Context, lib string) error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find own executable: %w", err)
	}
	var stderr strings.Builder
	h.init = &exec.Cmd{
		Path:   self,
		Args:   []string{"host " + h.name, roleInit, h.name, lib},
		Dir:    "/",
		Stderr: &stderr,
		SysProcAttr: &unix.SysProcAttr{
			Cloneflags: unix.CLONE_NEWNET | unix.CLONE_NEWNS | unix.CLONE_NEWUTS | unix.CLONE_NEWPID,
			Pdeathsig:  unix.SIGKILL,
			Setsid:     true, // Ctrl-C interrupts only the lab, which then closes its hosts
		},
	}
	// The first process exits when this pipe closes: when this program exits, or in Wait.
	if _, err := h.init.StdinPipe(); err != nil {
		return fmt.Errorf("create pipe: %w", err)
	}
	stdout, err := h.init.StdoutPipe()
	if err != nil {
		return fmt.Errorf("create pipe: %w", err)
	}
	line := make(chan string, 1)
	if err := h.spawn(stdout, line); err != nil {
		return fmt.Errorf("start first process: %w", err)
	}
	select {
	case text := <-line:
		if text == ready {
			return nil
		}
		return errors.Join(h.Close(), fmt.Errorf("first process: %s", stderr.String()))
	case <-ctx.Done():
		return errors.Join(h.Close(), context.Cause(ctx))
	}
}

// spawn starts the first process on a thread of its own and keeps that thread
// until the process has exited: the kernel sends the parent-death signal when
// the thread that forked exits, not when its process does.
func (h *Host) spawn(stdout io.Reader, line chan<- string) error {
	started := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := h.init.Start()
		started <- err
		if err != nil {
			return
		}
		defer close(h.ended)
		text, _ := bufio.NewReader(stdout).ReadString('\n')
		line <- strings.TrimSpace(text)
		_ = h.init.Wait() // it is killed, so its status has no meaning
	}()
	return <-started
}

// open opens the host's namespaces and brings up its loopback interface.
func (h *Host) open() error {
	var err error
	if h.namespaces, err = openNamespaces(h.PID()); err != nil {
		return err
	}
	h.netlink, err = netlink.NewHandleAt(netns.NsHandle(h.namespaces.net.Fd()))
	if err != nil {
		return fmt.Errorf("open netlink: %w", err)
	}
	lo, err := h.netlink.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("find lo: %w", err)
	}
	// A link has only two ends, so duplicate addresses cannot occur. Without
	// their detection, addresses are usable immediately.
	return errors.Join(h.netlink.LinkSetUp(lo), h.Sysctl("net/ipv6/conf/default/accept_dad", "0"))
}

// Close stops the host and all its processes. Further calls do nothing and
// return the same error.
func (h *Host) Close() error { return h.close() }

func (h *Host) shutdown() error {
	_ = h.init.Process.Kill() // it may have exited
	<-h.ended
	if h.netlink != nil {
		h.netlink.Close()
	}
	if h.namespaces == nil {
		return nil // the host was not set up completely
	}
	return h.namespaces.close()
}
