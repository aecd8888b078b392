//go:build linux

package harness

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"sync"

	"golang.org/x/sys/unix"
)

// namespaces holds the open namespaces of a host.
type namespaces struct {
	mu                 sync.RWMutex // write-locked while the files close
	net, uts, pid, mnt *os.File
}

func openNamespaces(pid int) (*namespaces, error) {
	var errs []error
	open := func(name string) *os.File {
		f, err := os.Open(fmt.Sprintf("/proc/%d/ns/%s", pid, name))
		errs = append(errs, err)
		return f
	}
	ns := &namespaces{net: open("net"), uts: open("uts"), pid: open("pid"), mnt: open("mnt")}
	if err := errors.Join(errs...); err != nil {
		return ns, fmt.Errorf("open namespaces: %w", err)
	}
	return ns, nil
}

func (n *namespaces) close() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	var errs []error
	for _, f := range []*os.File{n.net, n.uts, n.pid, n.mnt} {
		if f != nil {
			errs = append(errs, f.Close())
		}
	}
	return errors.Join(errs...)
}

// enter moves the calling thread, which must be locked, into the namespaces.
// The mount namespace is last, because it hides the machine's paths.
func (n *namespaces) enter() error {
	n.mu.RLock()
	defer n.mu.RUnlock()
	// A thread that shares its working directory with others may not change
	// its mount namespace.
	if err := unix.Unshare(unix.CLONE_FS); err != nil {
		return fmt.Errorf("unshare working directory: %w", err)
	}
	for _, f := range []*os.File{n.net, n.uts, n.pid, n.mnt} {
		if err := unix.Setns(int(f.Fd()), 0); err != nil {
			return fmt.Errorf("enter %s: %w", f.Name(), err)
		}
	}
	return nil
}

// enterNetwork moves the calling thread, which must be locked, into the
// network namespace only, which is sufficient for a socket and cheaper.
func (n *namespaces) enterNetwork() error {
	n.mu.RLock()
	defer n.mu.RUnlock()
	return unix.Setns(int(n.net.Fd()), unix.CLONE_NEWNET)
}

// Do runs f on a thread in the host's namespaces: files, sockets and processes
// that f opens belong to the host. Goroutines that f starts run outside.
func (h *Host) Do(f func() error) error {
	return onThread(func() error {
		if err := h.namespaces.enter(); err != nil {
			return fmt.Errorf("enter host %s: %w", h.name, err)
		}
		return f()
	})
}

// onThread runs f on a thread that exits afterwards.
func onThread(f func() error) error {
	result := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: no other goroutine may run on this thread
		if unix.Gettid() == unix.Getpid() {
			// The main thread cannot exit and would keep the host's namespaces
			// alive. While it is locked here, f runs on another thread.
			defer runtime.UnlockOSThread()
			result <- onThread(f)
			return
		}
		result <- f()
	}()
	return <-result
}

// DialContext connects from the host. The address must be an IP address and
// port: names would be resolved outside of the host.
func (h *Host) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	var conn net.Conn
	err := onThread(func() error {
		if err := h.namespaces.enterNetwork(); err != nil {
			return fmt.Errorf("enter network of %s: %w", h.name, err)
		}
		var err error
		conn, err = new(net.Dialer).DialContext(ctx, network, address)
		return err
	})
	return conn, err
}

// WriteFile writes a file in the host's file system and creates its directory.
func (h *Host) WriteFile(path string, content []byte, mode os.FileMode) error {
	return h.Do(func() error {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		return os.WriteFile(path, content, mode)
	})
}

// ReadFile reads a file in the host's file system.
func (h *Host) ReadFile(path string) ([]byte, error) {
	var content []byte
	err := h.Do(func() error {
		var err error
		content, err = os.ReadFile(path)
		return err
	})
	return content, err
}

// Sysctl sets a kernel parameter of the host; key is its path below /proc/sys.
func (h *Host) Sysctl(key, value string) error {
	return h.Do(func() error {
		return os.WriteFile(filepath.Join("/proc/sys", key), []byte(value), 0o644)
	})
}
