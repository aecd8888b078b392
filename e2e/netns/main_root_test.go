//go:build linux && root

package netns_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/e2e/harness"
)

// timeout bounds waits for events without a documented deadline.
const timeout = time.Minute

// binaries is set once, by TestMain.
var binaries harness.Binaries

func TestMain(m *testing.M) {
	harness.Main()
	os.Exit(harness.RunTests(m, func(ctx context.Context, dir string) (err error) {
		binaries, err = harness.Build(ctx, dir)
		return err
	}))
}

// newTopology starts hosts without agents. If the test fails, its output
// contains the last log lines of the agents.
func newTopology(t *testing.T, names ...string) *harness.Topology {
	t.Helper()
	lab, err := harness.NewLab(t.TempDir(), nil)
	require.NoError(t, err, "this test requires root")
	t.Cleanup(func() { assert.NoError(t, lab.Close()) })
	topology, err := harness.NewTopology(t.Context(), lab, names...)
	require.NoError(t, err)
	t.Cleanup(func() {
		if t.Failed() {
			logAgents(t, topology)
		}
	})
	return topology
}

func logAgents(t *testing.T, topology *harness.Topology) {
	const lines = 40
	for _, dc := range topology.Datacenters {
		if dc.Agent != nil {
			all := strings.Split(strings.TrimSpace(dc.Agent.Log()), "\n")
			t.Logf("meshd on %s:\n%s", dc.Name, strings.Join(all[max(0, len(all)-lines):], "\n"))
		}
	}
}

// newFederation starts datacenters, initializes a federation in the first one,
// joins the others, and waits until each reaches all others.
func newFederation(t *testing.T, names ...string) *harness.Topology {
	t.Helper()
	topology := newTopology(t, names...)
	federate(t, topology.Datacenters...)
	return topology
}

func federate(t *testing.T, datacenters ...*harness.Datacenter) {
	t.Helper()
	for i, dc := range datacenters {
		runAgent(t, dc)
		if i == 0 {
			meshctl(t, dc, "init")
		} else {
			meshctl(t, dc, "join", token(t, datacenters[0]))
		}
	}
	awaitFederation(t, datacenters...)
}

// runAgent writes the configuration, with extra lines, and starts meshd.
func runAgent(t *testing.T, dc *harness.Datacenter, extra ...string) {
	t.Helper()
	require.NoError(t, dc.Configure(dc.Config(extra...)))
	require.NoError(t, dc.Run(within(t, timeout), binaries))
}

func meshctl(t *testing.T, dc *harness.Datacenter, args ...string) string {
	t.Helper()
	out, err := dc.Meshctl(within(t, 2*timeout), args...)
	require.NoError(t, err)
	return out
}

func token(t *testing.T, dc *harness.Datacenter, flags ...string) string {
	t.Helper()
	token, err := dc.Token(within(t, timeout), flags...)
	require.NoError(t, err)
	return token
}

func awaitFederation(t *testing.T, datacenters ...*harness.Datacenter) {
	t.Helper()
	require.NoError(t, harness.AwaitFederation(within(t, 2*timeout), datacenters...))
}

// awaitMembers waits until the status of a datacenter lists exactly these
// members.
func awaitMembers(t *testing.T, dc *harness.Datacenter, names ...string) {
	t.Helper()
	eventually(t, timeout, dc.Name+" lists the members", func(ctx context.Context) error {
		snapshot, err := dc.Status(ctx)
		var listed []string
		for _, member := range snapshot.Datacenters {
			listed = append(listed, member.Name)
		}
		if err == nil && !slices.Equal(listed, names) {
			err = fmt.Errorf("it lists %v", listed)
		}
		return err
	})
}

// eventually waits until the condition returns nil.
func eventually(t *testing.T, limit time.Duration, what string, condition func(context.Context) error) {
	t.Helper()
	require.NoError(t, harness.Wait(within(t, limit), what, condition))
}

func within(t *testing.T, limit time.Duration) context.Context {
	ctx, cancel := context.WithTimeoutCause(t.Context(), limit, fmt.Errorf("not within %s", limit))
	t.Cleanup(cancel)
	return ctx
}

// requireTraffic sends requests between two datacenters: to a pod, a service,
// and an IPv6 pod address.
func requireTraffic(t *testing.T, from, to *harness.Datacenter) {
	t.Helper()
	client, server := from.Workloads[0], to.Workloads[1]
	for _, address := range []struct {
		kind     string
		from, to fmt.Stringer
		answer   func() (harness.Answer, error)
	}{
		{"pod", client.Pod, server.Pod, func() (harness.Answer, error) {
			return client.Host.Get(t.Context(), harness.At(server.Pod))
		}},
		{"service", client.Pod, server.Service, func() (harness.Answer, error) {
			return client.Host.Get(t.Context(), harness.At(server.Service))
		}},
		{"IPv6 pod", client.Pod6, server.Pod6, func() (harness.Answer, error) {
			return client.Host.Get(t.Context(), harness.At(server.Pod6))
		}},
	} {
		answer, err := address.answer()
		require.NoError(t, err, "%s to %s, %s", from.Name, to.Name, address.kind)
		assert.Equal(t, server.Host.Name(), answer.Host)
		assert.Equal(t, address.from.String(), answer.Source.Addr().String(), "the source address is preserved (%s)", address.kind)
	}
}

// requireNoTraffic asserts that a datacenter does not reach another one.
func requireNoTraffic(t *testing.T, from, to *harness.Datacenter) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	_, err := from.Workloads[0].Host.Get(ctx, harness.At(to.Workloads[1].Pod))
	require.Error(t, err)
}

// datagrams starts a stream between the workloads of two datacenters and
// waits until it is answered.
func datagrams(t *testing.T, from, to *harness.Datacenter) *harness.Traffic {
	t.Helper()
	stream, err := from.Workloads[0].Host.Datagrams(t.Context(), harness.At(to.Workloads[1].Pod), 5*time.Millisecond)
	require.NoError(t, err)
	eventually(t, timeout, "datagrams are answered", func(context.Context) error {
		if stream.Report().Answered == 0 {
			return errors.New("no answer yet")
		}
		return nil
	})
	return stream
}

func requireNoneLost(t *testing.T, stream *harness.Traffic) {
	t.Helper()
	report := stream.Stop()
	assert.Zero(t, report.Lost(), "of %d datagrams: %v; not answered: those sent at %v", report.Sent, report.Err, report.Unanswered)
	assert.NotZero(t, report.Sent)
}
