package history

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/meshway/meshway/consensus"
	"github.com/meshway/meshway/consensus/consensustest"
	"github.com/meshway/meshway/consensus/raftnode"
)

const (
	seedClients = 4
	seedSteps   = 25
)

// RunSeed records a history of a cluster in memory. It must be called in a bubble. The
// seed determines the size of the cluster, the calls and the faults.
func RunSeed(t *testing.T, seed uint64, h *History) {
	timers := raftnode.LAN()
	timers.SnapshotInterval, timers.TrailingLogs = time.Second, 8
	members := []int{3, 4, 5}[seed%3] // four have a non-voter
	restarts := seed%2 == 1
	cluster := consensustest.New(t, members, consensustest.Options{Timers: timers, SnapshotThreshold: 16})
	var nodes []*node
	var all []Member
	for _, m := range cluster.Members {
		n := &node{owner: cluster.Members[0].ID, member: m}
		nodes, all = append(nodes, n), append(all, n)
	}
	keys := []string{"web0", "web1"}
	shared := &Keys{}
	for _, key := range keys {
		shared.Add(key)
	}
	ctx, cancel := context.WithCancel(t.Context())
	watching, stop := context.WithCancel(t.Context())
	var users, others, watches sync.WaitGroup
	faults := &nemesis{random(seed, 999), cluster, nodes, restarts}
	others.Go(func() { faults.run(ctx) })
	var watchers []*watcher
	for i := range 2 {
		w := &watcher{history: h, random: random(seed, uint64(500+i)), nodes: nodes, values: map[string]string{}}
		watchers = append(watchers, w)
		watches.Go(func() { w.run(watching) })
	}
	for i := range seedClients {
		c := &Client{
			History: h, Number: i, Random: random(seed, uint64(i)), Keys: shared, Own: keys, Writers: all, Members: all,
			Leases: !restarts, Timeout: 2 * time.Second, Pause: 400 * time.Millisecond,
		}
		users.Go(func() { c.Run(ctx, seedSteps) })
	}
	users.Wait()
	cancel()
	others.Wait()
	last := &Client{History: h, Number: seedClients}
	for _, key := range keys {
		last.ReadLinear(context.Background(), nodes[1], key, consensus.ConsistentRead)
	}
	cluster.WaitEqual()
	head := nodes[1].current().View().Index()
	cluster.Until("all watches have the last change", func() bool {
		return !slices.ContainsFunc(watchers, func(w *watcher) bool { return w.reached() < head })
	})
	stop()
	watches.Wait()
}

func random(seed, use uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, use)) }
