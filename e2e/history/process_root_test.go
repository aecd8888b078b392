//go:build linux && root

package history_test

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/consensus"
	"github.com/meshway/meshway/e2e/harness"
	"github.com/meshway/meshway/e2e/history"
)

const (
	roundTime = 20 * time.Second
	healTime  = time.Minute // until the federation answers again
	writers   = 3           // at each agent, each with services of its own
)

var minutes = flag.Int("minutes", 0, "how long processes run with faults; 0: one round")

func TestMain(m *testing.M) {
	harness.Main()
	os.Exit(m.Run())
}

// federation is three agents and the clients' view of them.
type federation struct {
	t        *testing.T
	topology *harness.Topology
	binaries harness.Binaries
	random   *rand.Rand
	agents   []history.Member
}

func TestHistoriesOfProcessesAreLinearizableUnderFaults(t *testing.T) {
	f := newFederation(t, rand.New(rand.NewPCG(rand.Uint64(), 0))) // when a fault occurs is not reproducible anyway
	deadline := time.Now().Add(time.Duration(*minutes) * time.Minute)
	for round := 0; round == 0 || time.Now().Before(deadline); round++ {
		require.NoError(t, f.round(round), "round %d", round)
	}
}

func newFederation(t *testing.T, random *rand.Rand) *federation {
	t.Helper()
	lab, err := harness.NewLab(t.TempDir(), nil)
	require.NoError(t, err, "this test requires root")
	t.Cleanup(func() { assert.NoError(t, lab.Close()) })
	f := &federation{t: t, random: random}
	f.topology, err = harness.NewTopology(t.Context(), lab, "east", "west", "north")
	require.NoError(t, err)
	f.binaries, err = harness.Build(t.Context(), t.TempDir())
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	for i, dc := range f.topology.Datacenters {
		require.NoError(t, dc.Configure(dc.Config()))
		require.NoError(t, dc.Run(ctx, f.binaries))
		command := []string{"init"}
		if i > 0 {
			token, err := f.topology.Datacenters[0].Token(ctx)
			require.NoError(t, err)
			command = []string{"join", token}
		}
		_, err := dc.Meshctl(ctx, command...)
		require.NoError(t, err)
		socket := fmt.Sprintf("/proc/%d/root/run/meshway/meshd.sock", dc.Gateway.PID())
		f.agents = append(f.agents, &agent{address: dc.Workloads[0].Service.String(), socket: socket})
	}
	require.NoError(t, harness.AwaitVoters(ctx, len(f.agents), f.topology.Datacenters...))
	return f
}

// round records calls during faults, and after them, and checks them. Its services are
// new, so that the check does not grow.
func (f *federation) round(number int) error {
	var h history.History
	clients := f.clients(number, &h)
	ctx, cancel := context.WithTimeout(f.t.Context(), roundTime)
	defer cancel()
	var running sync.WaitGroup
	for _, c := range clients {
		running.Go(func() { c.Run(ctx, 1<<20) })
	}
	for ctx.Err() == nil {
		f.fault(ctx)
	}
	running.Wait()
	f.repair()
	for _, key := range clients[0].Keys.All() {
		for _, m := range f.agents {
			last, cancel := context.WithTimeout(f.t.Context(), healTime)
			assert.True(f.t, clients[0].ReadLinear(last, m, key, consensus.ConsistentRead), "the final read of %s", key)
			cancel()
		}
	}
	f.t.Logf("round %d: %d operations", number, h.Operations())
	require.Greater(f.t, h.Operations(), 50, "too few operations had a result")
	return h.Check(time.Minute)
}

func (f *federation) clients(round int, h *history.History) []*history.Client {
	keys := &history.Keys{}
	var clients []*history.Client
	for i, agent := range f.agents {
		for j := range writers {
			key := fmt.Sprintf("web-%d-%d-%d", round, i, j)
			keys.Add(key)
			clients = append(clients, &history.Client{
				History: h, Number: len(clients), Random: rand.New(rand.NewPCG(f.random.Uint64(), 0)),
				Keys: keys, Own: []string{key}, Writers: []history.Member{agent}, Members: f.agents, Repairs: true,
				Timeout: 15 * time.Second, Pause: 100 * time.Millisecond,
			})
		}
	}
	return clients
}

// fault injects a fault, waits, and removes it.
func (f *federation) fault(ctx context.Context) {
	order := f.random.Perm(len(f.topology.Datacenters))
	a, b := f.topology.Datacenters[order[0]], f.topology.Datacenters[order[1]]
	pause := time.Duration(500+f.random.IntN(5000)) * time.Millisecond
	switch f.random.IntN(6) {
	case 0:
		require.NoError(f.t, f.topology.Isolate(f.t.Context(), a))
	case 1:
		require.NoError(f.t, f.topology.Cut(f.t.Context(), a, b))
	case 2: // one direction only
		match := fmt.Sprintf("ip saddr %s ip daddr %s", a.Underlay.Addr(), b.Underlay.Addr())
		require.NoError(f.t, f.topology.Filter(f.t.Context(), match))
	case 3:
		a.Agent.Kill()
		<-a.Agent.Done()
		sleep(ctx, pause)
		require.NoError(f.t, a.Run(f.t.Context(), f.binaries))
		return
	case 4:
		require.NoError(f.t, a.Agent.Pause())
		sleep(ctx, pause)
		require.NoError(f.t, a.Agent.Resume())
		return
	case 5:
		_, _ = a.Meshctl(ctx, "raft", "transfer-leader", b.Name+"/"+b.Name) // refused without a leader
	}
	sleep(ctx, pause)
	require.NoError(f.t, f.topology.Heal(f.t.Context()))
}

func (f *federation) repair() {
	require.NoError(f.t, f.topology.Heal(f.t.Context()))
	ctx, cancel := context.WithTimeout(f.t.Context(), healTime)
	defer cancel()
	require.NoError(f.t, harness.AwaitVoters(ctx, len(f.agents), f.topology.Datacenters...))
}

func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
