//go:build linux && root

package userspace_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strconv"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/meshway/meshway/tunnel/device"
	"github.com/meshway/meshway/tunnel/tunneltest"
	"github.com/meshway/meshway/tunnel/userspace"
)

// inside is set in the environment of the test binary that already runs in its
// own namespaces.
const inside = "MESHWAY_TEST_INSIDE"

// TestMain has three roles: the data plane process (as "meshd wireguard" is),
// the process that creates namespaces without an uplink, and the tests in them.
func TestMain(m *testing.M) {
	switch {
	case len(os.Args) > 1 && os.Args[1] == "wireguard":
		os.Exit(dataPlane(os.Args[2:]))
	case os.Getenv(inside) == "":
		os.Exit(runInside())
	}
	if err := errors.Join(isolateFiles(), unix.Mount("proc", "/proc", "proc", 0, "")); err != nil {
		fmt.Fprintln(os.Stderr, "isolate files:", err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// dataPlane does the same as cmd/meshd for "wireguard --interface NAME --mtu N".
func dataPlane(args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	mtu, err := strconv.Atoi(args[3])
	if err == nil {
		log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
		err = userspace.Run(ctx, userspace.Options{Interface: args[1], MTU: mtu, Log: log})
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// runInside runs this test binary in new network, mount and process namespaces.
// All processes that it starts end with it, even after a panic.
func runInside() int {
	runtime.LockOSThread() // Pdeathsig is bound to the thread
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), inside+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS | syscall.CLONE_NEWPID,
		Pdeathsig:  syscall.SIGKILL,
	}
	err := cmd.Run()
	if cmd.ProcessState == nil {
		fmt.Fprintln(os.Stderr, "create namespaces (these tests need root):", err)
		return 1
	}
	return max(cmd.ProcessState.ExitCode(), 0)
}

// isolateFiles gives the calling thread's mount namespace its own /run, because
// the control sockets of all hosts have the same path.
func isolateFiles() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return err
	}
	return unix.Mount("tmpfs", "/run", "tmpfs", 0, "mode=0755")
}

// host is one simulated host: a thread in its own network and mount namespace.
type host struct {
	do   chan func()
	done chan struct{}
	net  *os.File // its network namespace
}

// newHost returns a host, which ends with the test.
func newHost(t testing.TB) *host {
	h := &host{do: make(chan func()), done: make(chan struct{})}
	ready := make(chan error)
	go h.run(ready)
	require.NoError(t, <-ready)
	t.Cleanup(func() {
		close(h.do)
		<-h.done
		_ = h.net.Close()
	})
	return h
}

func (h *host) run(ready chan<- error) {
	runtime.LockOSThread() // never unlocked: the thread ends with its namespaces
	defer close(h.done)
	err := unix.Unshare(unix.CLONE_NEWNET | unix.CLONE_NEWNS)
	if err == nil {
		err = isolateFiles()
	}
	if err == nil {
		h.net, err = os.Open("/proc/thread-self/ns/net")
	}
	if err == nil {
		err = inNamespace(func(n *netlink.Handle) error {
			lo, err := n.LinkByName("lo")
			if err != nil {
				return err
			}
			return n.LinkSetUp(lo)
		})
	}
	ready <- err
	for f := range h.do {
		f()
	}
}

// Do runs f on the host and returns when it has returned.
func (h *host) Do(f func()) {
	done := make(chan struct{})
	h.do <- func() { defer close(done); f() }
	<-done
}

// Netlink runs f with a handle of the host.
func (h *host) Netlink(t testing.TB, f func(*netlink.Handle) error) {
	t.Helper()
	var err error
	h.Do(func() { err = inNamespace(f) })
	require.NoError(t, err)
}

func inNamespace(f func(*netlink.Handle) error) error {
	n, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	defer n.Close()
	return f(n)
}

// newDevice returns a device whose data plane processes run this test binary.
func newDevice(t testing.TB) *device.Device {
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	return device.New(device.Config{
		Prefix:  tunneltest.Prefix,
		Backend: userspace.New(userspace.Config{LogDir: t.TempDir(), Log: log}),
		Log:     log,
	})
}

// removeAll terminates all data plane processes of the device's host.
func removeAll(t testing.TB, on func(func()), dev *device.Device) {
	on(func() {
		all, err := dev.List(context.Background())
		require.NoError(t, err)
		for _, o := range all {
			require.NoError(t, dev.Remove(context.Background(), o.Name))
		}
	})
}
