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

// Host is a network, mount, UTS and process namespace with a first process.
type Host struct {
	name       string
	dir        string
	log        *slog.Logger
	init       *exec.Cmd
	ended      chan struct{} // closed once the first process was waited for
	namespaces *namespaces
	netlink    *netlink.Handle
	close      func() error // once
}

// Name returns the host's name.
func (h *Host) Name() string { return h.name }

// PID is the host's first process, as the machine sees it, for nsenter.
func (h *Host) PID() int { return h.init.Process.Pid }

// Enter returns the beginning of a command line that runs a program in the host.
func (h *Host) Enter() string {
	return fmt.Sprintf("nsenter -t %d -m -u -n -p", h.PID())
}

func startHost(ctx context.Context, name, dir string, log *slog.Logger) (*Host, error) {
	lib := filepath.Join(dir, "lib")
	if err := os.MkdirAll(lib, 0o755); err != nil {
		return nil, fmt.Errorf("make host directory: %w", err)
	}
	h := &Host{name: name, dir: dir, log: log, ended: make(chan struct{})}
	h.close = sync.OnceValue(h.end)
	if err := h.startInit(ctx, lib); err != nil {
		return nil, err
	}
	if err := h.open(); err != nil {
		return nil, errors.Join(err, h.Close())
	}
	return h, nil
}

// startInit starts the first process and waits until the host stands.
func (h *Host) startInit(ctx context.Context, lib string) error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find own program: %w", err)
	}
	var problem strings.Builder
	h.init = &exec.Cmd{
		Path: self, Args: []string{"host " + h.name, roleInit, h.name, lib}, Dir: "/", Stderr: &problem,
		SysProcAttr: &unix.SysProcAttr{
			Cloneflags: unix.CLONE_NEWNET | unix.CLONE_NEWNS | unix.CLONE_NEWUTS | unix.CLONE_NEWPID,
			Pdeathsig:  unix.SIGKILL,
			Setsid:     true, // Ctrl-C is for the lab, which then ends its hosts
		},
	}
	// The first process ends when this pipe closes: with us, or by Wait.
	if _, err := h.init.StdinPipe(); err != nil {
		return fmt.Errorf("make pipe: %w", err)
	}
	stdout, err := h.init.StdoutPipe()
	if err != nil {
		return fmt.Errorf("make pipe: %w", err)
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
		return errors.Join(h.Close(), fmt.Errorf("first process: %s", problem.String()))
	case <-ctx.Done():
		return errors.Join(h.Close(), context.Cause(ctx))
	}
}

// spawn starts the first process on a thread of its own and keeps that thread
// until the process has ended: the kernel sends the parent-death signal when
// the thread ends that forked, not when the process does.
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
		_ = h.init.Wait() // it is killed: how it ended says nothing
	}()
	return <-started
}

// open keeps the host's namespaces at hand.
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
	// A link has two ends here: nobody else can have an address. Without the
	// detection of duplicates all addresses can be used at once.
	return errors.Join(h.netlink.LinkSetUp(lo), h.Sysctl("net/ipv6/conf/default/accept_dad", "0"))
}

// Close ends the host and everything in it; again, it does nothing.
func (h *Host) Close() error { return h.close() }

func (h *Host) end() error {
	_ = h.init.Process.Kill() // it may have ended
	<-h.ended
	if h.netlink != nil {
		h.netlink.Close()
	}
	if h.namespaces == nil {
		return nil // the host never stood
	}
	return h.namespaces.close()
}
