//go:build linux && root

package netns_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/agent/plan/gatewayplan"
	"github.com/meshway/meshway/e2e/harness"
	"github.com/meshway/meshway/tunnel/device"
)

// takeover is how long it may take until a gateway replaces another one.
const takeover = 500 * time.Millisecond

// newWireGuardTestbed returns a testbed whose lanes are WireGuard interfaces of
// data plane processes, on a link that west shares with the hosts of east. It also
// returns the processes of each gateway.
func newWireGuardTestbed(t *testing.T) (*testbed, map[*gatewayHost][]*harness.Process) {
	t.Helper()
	processes := map[*gatewayHost][]*harness.Process{}
	tb := newTestbedWith(t, func(tb *testbed) {
		tb.joinLAN(tb.west.Host, lanWest)
		for _, g := range []*gatewayHost{tb.west, tb.a, tb.b} {
			g.tunnels = device.New(device.Config{Prefix: g.inputs.Config.WireGuard.Interface, Backend: absent{}})
			processes[g] = g.startDataPlanes(t)
		}
	})
	return tb, processes
}

// startDataPlanes starts the process of each lane, as the container of the data
// plane does.
func (g *gatewayHost) startDataPlanes(t *testing.T) []*harness.Process {
	t.Helper()
	d, _ := gatewayplan.Compute(g.inputs)
	var processes []*harness.Process
	for _, lane := range d.Tunnels {
		p, err := g.Start("wireguard-"+lane.Name, binaries.Meshd, "wireguard", "--interface", lane.Name)
		require.NoError(t, err)
		processes = append(processes, p)
		eventually(t, timeout, lane.Name+" exists on "+g.Name(), func(ctx context.Context) error {
			_, err := g.Exec(ctx, "ip", "link", "show", "dev", lane.Name)
			return err
		})
	}
	return processes
}

// absent is a data plane whose processes the test starts.
type absent struct{}

func (absent) Create(context.Context, string, int) error { return errors.New("there is no process") }
func (absent) Remove(context.Context, string) error      { return nil }
func (absent) Kind() string                              { return "userspace" }

// TestPodsOfAGatewayWhoseProcessesAreKilledUseTheOtherGateway kills the agent and
// the data plane of a gateway, so that only the kernel of its host is left.
func TestPodsOfAGatewayWhoseProcessesAreKilledUseTheOtherGateway(t *testing.T) {
	tb, processes := newWireGuardTestbed(t)
	tb.requireNoDelay(func() {
		tb.a.kill()
		for _, p := range processes[tb.a] {
			p.Kill()
		}
	})
}

// TestPodsOfAGatewayWhoseDataPlaneIsKilledUseTheOtherGateway kills the data plane
// only. The agent must not make it worse.
func TestPodsOfAGatewayWhoseDataPlaneIsKilledUseTheOtherGateway(t *testing.T) {
	tb, processes := newWireGuardTestbed(t)
	tb.requireNoDelay(func() {
		for _, p := range processes[tb.a] {
			p.Kill()
		}
	})
	tb.requireNoDelay(func() { tb.a.startDataPlanes(t) })
}

// requireNoDelay requires that no new connection between west and the pod on the
// first gateway takes longer than a second, from the time of a takeover after a
// failure.
func (tb *testbed) requireNoDelay(fail func()) {
	tb.t.Helper()
	fail()
	<-time.After(takeover)
	toWest := tb.podA.Requests(tb.t.Context(), harness.At(addr(clientPod)), 20*time.Millisecond)
	toPod := tb.client.Requests(tb.t.Context(), harness.At(addr(podOnA)), 20*time.Millisecond)
	<-time.After(5 * time.Second)
	for name, requests := range map[string]*harness.Traffic{"from the pod": toWest, "to the pod": toPod} {
		report := requests.Stop()
		tb.t.Logf("%s: %d of %d requests lost, %v at most", name, report.Lost(), report.Sent, report.MaxLatency)
		assert.Zero(tb.t, report.Lost(), "%s, of %d requests: %v", name, report.Sent, report.Err)
		assert.Less(tb.t, report.MaxLatency, time.Second, "%s, of %d requests", name, report.Sent)
	}
}
