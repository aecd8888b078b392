//go:build linux && root

package userspace_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"

	"github.com/meshway/meshway/tunnel"
	"github.com/meshway/meshway/tunnel/device"
	"github.com/meshway/meshway/tunnel/tunneltest"
	"github.com/meshway/meshway/tunnel/userspace"
)

// supervise runs a supervisor until the test ends.
func supervise(t *testing.T, dir string) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- userspace.Supervisor{Dir: dir}.Run(ctx) }()
	stop = func() {
		cancel()
		if ended != nil {
			assert.NoError(t, <-ended)
			ended = nil
		}
	}
	t.Cleanup(stop)
	return stop
}

func remoteDevice(dir string) *device.Device {
	return device.New(device.Config{Prefix: tunneltest.Prefix, Backend: userspace.Remote{Dir: dir}})
}

func TestRemoteMeetsTheContract(t *testing.T) {
	dir := t.TempDir()
	supervise(t, dir)
	tunneltest.TestDevice(t, 5, func(t *testing.T) tunnel.Device {
		dev := remoteDevice(dir)
		t.Cleanup(func() { removeAll(t, here, dev) })
		return dev
	})
}

func TestASupervisorRemovesItsInterfacesAndTheNextOneRecreatesThem(t *testing.T) {
	dir, name := t.TempDir(), tunneltest.Prefix+"0"
	stop := supervise(t, dir)
	dev := remoteDevice(dir)
	require.NoError(t, dev.Create(t.Context(), name, 1400))
	stop()
	_, err := netlink.LinkByName(name)
	require.ErrorAs(t, err, new(netlink.LinkNotFoundError))

	supervise(t, dir)
	require.NoError(t, dev.Create(t.Context(), name, 1400))
	link, err := netlink.LinkByName(name)
	require.NoError(t, err)
	assert.Equal(t, 1400, link.Attrs().MTU)
	require.NoError(t, dev.Remove(t.Context(), name))
}

func TestASupervisorNoticesRequestsWithoutPolling(t *testing.T) {
	dir, name := t.TempDir(), tunneltest.Prefix+"0"
	supervise(t, dir)
	dev := remoteDevice(dir)
	require.NoError(t, dev.Create(t.Context(), name, 1400)) // the supervisor is ready then
	begin := time.Now()
	require.NoError(t, dev.Create(t.Context(), tunneltest.Prefix+"1", 1400))
	require.NoError(t, dev.Remove(t.Context(), name))
	require.NoError(t, dev.Remove(t.Context(), tunneltest.Prefix+"1"))
	assert.Less(t, time.Since(begin), userspace.SuperviseInterval/2)
}

// A host may have no inotify instance left.
func TestASupervisorWithoutInotifyPollsForRequests(t *testing.T) {
	dir, name := t.TempDir(), tunneltest.Prefix+"0"
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- userspace.SuperviseByPolling(ctx, dir) }()
	defer func() {
		cancel()
		assert.NoError(t, <-ended)
	}()
	dev := remoteDevice(dir)
	require.NoError(t, dev.Create(t.Context(), name, 1400))
	require.NoError(t, dev.Remove(t.Context(), name))
}
