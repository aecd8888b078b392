//go:build linux && vm

package kernel_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/meshway/meshway/tunnel/device"
	"github.com/meshway/meshway/tunnel/kernel"
	"github.com/meshway/meshway/tunnel/tunneltest"
)

// inVM is set by the machine that e2e/kernel boots.
const inVM = "MESHWAY_TEST_VM"

// TestMain refuses to run these tests, which reconfigure the network, outside
// the virtual machine.
func TestMain(m *testing.M) {
	if os.Getenv(inVM) == "" {
		fmt.Fprintln(os.Stderr, "these tests run in a virtual machine: make test-kernel")
		os.Exit(1)
	}
	os.Exit(m.Run())
}

func newDevice(t *testing.T) *device.Device {
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	return device.New(device.Config{Prefix: tunneltest.Prefix, Backend: kernel.New(), Log: log})
}

// newCleanDevice returns a device of the machine itself. Its interfaces are
// removed at the end of the test.
func newCleanDevice(t *testing.T) *device.Device {
	dev := newDevice(t)
	t.Cleanup(func() {
		all, err := dev.List(context.Background())
		require.NoError(t, err)
		for _, o := range all {
			require.NoError(t, dev.Remove(context.Background(), o.Name))
		}
	})
	return dev
}

// addLink adds a link, which is deleted at the end of the test.
func addLink(t *testing.T, link netlink.Link) {
	t.Helper()
	require.NoError(t, netlink.LinkAdd(link))
	t.Cleanup(func() { require.NoError(t, netlink.LinkDel(link)) })
}

// host is a network namespace on its own thread, which ends with the test.
type host struct {
	net *os.File
	do  chan func()
}

func newHost(t *testing.T) *host {
	h := &host{do: make(chan func())}
	ready, done := make(chan error), make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // never unlocked: the thread ends with its namespace
		ready <- h.enter()
		for f := range h.do {
			f()
		}
	}()
	require.NoError(t, <-ready)
	t.Cleanup(func() {
		close(h.do)
		<-done
		_ = h.net.Close()
	})
	return h
}

func (h *host) enter() (err error) {
	if err = unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return err
	}
	if h.net, err = os.Open("/proc/thread-self/ns/net"); err != nil {
		return err
	}
	lo, err := netlink.LinkByName("lo")
	return errors.Join(err, netlink.LinkSetUp(lo))
}

// Do runs f on the host and returns its error.
func (h *host) Do(f func() error) error {
	done := make(chan error)
	h.do <- func() { done <- f() }
	return <-done
}
