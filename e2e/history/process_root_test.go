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
	roundTime = 40 * time.Second // of a round of random faults
	healTime  = time.Minute      // until the federation answers again
	writers   = 3                // at each agent, each with services of its own
	diskSize  = 64 << 20
)

var minutes = flag.Int("minutes", 0, "how long processes run with random faults, after each fault has occurred once")

func TestMain(m *testing.M) {
	harness.Main()
	os.Exit(m.Run())
}

// federation is three agents whose services are tested, a fourth whose datacenter comes
// and goes, and the clients' view of them.
type federation struct {
	t        *testing.T
	topology *harness.Topology
	binaries harness.Binaries
	random   *rand.Rand
	owners   []*harness.Datacenter // of the services
	guest    guest
	disks    map[string]*harness.Disk // by datacenter
	members  []*agent                 // of the owners, then of the guest
	round    round
	damaged  map[string]string // what was done to the files of a datacenter
	injected map[string]int    // faults by kind
}

// round is what is recorded until the next check.
type round struct {
	number  int
	history *history.History
	keys    *history.Keys
}

func TestHistoriesOfProcessesAreLinearizableUnderFaults(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d: it names the faults, but not when they occur", seed)
	f := newFederation(t, rand.New(rand.NewPCG(seed, 0)))
	require.NoError(t, f.run(0, f.each), "the round with each fault")
	deadline := time.Now().Add(time.Duration(*minutes) * time.Minute)
	for number := 1; time.Now().Before(deadline); number++ {
		require.NoError(t, f.run(number, f.some), "round %d", number)
	}
	t.Logf("faults: %v", f.injected)
}

func newFederation(t *testing.T, random *rand.Rand) *federation {
	t.Helper()
	lab, err := harness.NewLab(t.TempDir(), nil)
	require.NoError(t, err, "this test requires root")
	t.Cleanup(func() { assert.NoError(t, lab.Close()) })
	f := &federation{t: t, random: random, disks: map[string]*harness.Disk{}, damaged: map[string]string{}, injected: map[string]int{}}
	f.topology, err = harness.NewTopology(t.Context(), lab, "east", "west", "north", "south")
	require.NoError(t, err)
	t.Cleanup(func() {
		if t.Failed() {
			f.logAgents()
		}
	})
	f.binaries, err = harness.Build(t.Context(), t.TempDir())
	require.NoError(t, err)
	f.owners, f.guest.dc = f.topology.Datacenters[:3], f.topology.Datacenters[3]
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	for i, dc := range f.topology.Datacenters {
		f.disks[dc.Name], err = dc.Gateway.Disk(ctx, "/var/lib", diskSize)
		require.NoError(t, err)
		// Auto would begin with those of a WAN, whose snapshots are rare.
		require.NoError(t, dc.Configure(dc.Config("raft: {timers: lan, snapshotThreshold: 64}")))
		require.NoError(t, dc.Run(ctx, f.binaries))
		switch {
		case i == 0:
			_, err := dc.Meshctl(ctx, "init")
			require.NoError(t, err)
		case dc != f.guest.dc:
			f.join(ctx, dc)
		}
		socket := fmt.Sprintf("/proc/%d/root/run/meshway/meshd.sock", dc.Gateway.PID())
		f.members = append(f.members, &agent{address: dc.Workloads[0].Service.String(), socket: socket})
	}
	require.NoError(t, harness.AwaitVoters(ctx, len(f.owners), f.owners...))
	return f
}

// run records calls during faults, and after them, and checks them. The services of a
// round are new, so that the check does not grow.
func (f *federation) run(number int, faults func(context.Context)) error {
	f.round = round{number, &history.History{}, &history.Keys{}}
	clients := f.clients()
	ctx, cancel := context.WithCancel(f.t.Context())
	defer cancel()
	var running sync.WaitGroup
	for _, c := range clients {
		running.Go(func() { c.Run(ctx, 1<<20) })
	}
	func() {
		defer running.Wait() // also if a requirement ends the test
		defer cancel()
		faults(ctx)
	}()
	f.repair()
	for _, key := range f.round.keys.All() {
		for _, m := range f.members[:len(f.owners)] {
			last, cancel := context.WithTimeout(f.t.Context(), healTime)
			assert.True(f.t, clients[0].ReadLinear(last, m, key, consensus.ConsistentRead), "the final read of %s", key)
			cancel()
		}
	}
	operations := f.round.history.Operations()
	f.t.Logf("round %d: %d operations on %d services", number, operations, len(f.round.keys.All()))
	require.Greater(f.t, operations, 50, "too few operations had a result")
	return f.round.history.Check(time.Minute)
}

// prefix begins the names of the services of an owner in this round.
func (f *federation) prefix(owner int) string {
	return fmt.Sprintf("web-%d-%d-", f.round.number, owner)
}

func (f *federation) clients() []*history.Client {
	var clients []*history.Client
	var all []history.Member
	for _, m := range f.members {
		all = append(all, m)
	}
	for i := range f.owners {
		for j := range writers {
			key := fmt.Sprint(f.prefix(i), j)
			f.round.keys.Add(key)
			clients = append(clients, &history.Client{
				History: f.round.history, Number: len(clients), Random: rand.New(rand.NewPCG(f.random.Uint64(), 0)),
				Keys: f.round.keys, Own: []string{key}, Writers: all[i : i+1], Members: all, Repairs: true,
				Timeout: 15 * time.Second, Pause: 100 * time.Millisecond,
			})
		}
	}
	return clients
}

// repair ends all faults, but for those of the guest.
func (f *federation) repair() {
	f.heal()
	f.replaceEnded()
	ctx, cancel := f.within(healTime)
	defer cancel()
	require.NoError(f.t, harness.AwaitVoters(ctx, len(f.owners), f.owners...))
}

func (f *federation) logAgents() {
	for _, dc := range f.topology.Datacenters {
		if dc.Agent != nil {
			log := dc.Agent.Log()
			f.t.Logf("meshd of %s, %v:\n%s", dc.Name, dc.Agent.Err(), log[max(0, len(log)-6000):])
		}
	}
}

func (f *federation) heal() { require.NoError(f.t, f.topology.Heal(f.t.Context())) }

func (f *federation) within(limit time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(f.t.Context(), limit)
}
