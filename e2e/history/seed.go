package history

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/meshway/meshway/consensus"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/consensustest"
	"github.com/meshway/meshway/consensus/raftnode"
)

const (
	seedClients = 4
	seedSpares  = 2 // members that may join
)

// RunSeed records a history of a cluster in memory. It must be called in a bubble. The
// seed determines the size of the cluster, the calls and the faults.
func RunSeed(t *testing.T, seed uint64, h *History) {
	faults := newNemesis(t, seed, h)
	nodes, owner := faults.nodes, faults.nodes[0]
	var all []Member
	for _, n := range nodes {
		if n.state == up {
			all = append(all, n)
		}
	}
	keys := []string{"web0", "web1"}
	shared := &Keys{}
	for _, key := range keys {
		shared.Add(key)
	}
	ctx, cancel := context.WithCancel(t.Context())
	watching, stop := context.WithCancel(t.Context())
	var users, others, watches sync.WaitGroup
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
			Leases: !kindsOf(seed).stops(), Timeout: 2 * time.Second, Pause: 400 * time.Millisecond,
		}
		users.Go(func() { c.Run(ctx, kindsOf(seed).steps()) })
	}
	users.Wait()
	cancel()
	others.Wait()
	faults.settle()
	last := &Client{History: h, Number: seedClients, Keys: shared}
	for _, key := range keys {
		last.ReadLinear(context.Background(), owner, key, consensus.ConsistentRead)
	}
	faults.cluster.WaitEqual()
	head := owner.member.Node.View().Index()
	faults.cluster.Until("all watches have the last change", func() bool {
		return !slices.ContainsFunc(watchers, func(w *watcher) bool { return w.reached() < head })
	})
	stop()
	watches.Wait()
}

// newNemesis starts the cluster of a seed.
func newNemesis(t *testing.T, seed uint64, h *History) *nemesis {
	timers := raftnode.LAN()
	timers.SnapshotInterval, timers.TrailingLogs = time.Second, 8
	hosts := map[catalog.GatewayID]*host{}
	hostOf := func(id catalog.GatewayID) *host {
		if hosts[id] == nil {
			hosts[id] = newHost(random(seed, 1000+uint64(len(hosts))))
		}
		return hosts[id]
	}
	cluster := consensustest.New(t, []int{3, 4, 5}[seed%3], consensustest.Options{ // four have a non-voter
		Timers: timers, SnapshotThreshold: 16,
		Host: func(id catalog.GatewayID) raftnode.Host { return hostOf(id).node() },
	})
	faults := &nemesis{history: h, random: random(seed, 999), cluster: cluster}
	add := func(m *consensustest.Member, s state) {
		n := &node{owner: cluster.Members[0].ID, host: hostOf(m.ID), network: cluster.Network, member: m, state: s, open: m.Node}
		faults.nodes = append(faults.nodes, n)
	}
	members := slices.Clone(cluster.Members)
	for _, m := range members {
		add(m, up)
	}
	if kindsOf(seed).members {
		for i := range seedSpares {
			add(cluster.Add(consensustest.DatacenterName(len(members)+i), "gw0"), spare)
		}
	}
	faults.use(kindsOf(seed))
	return faults
}

func random(seed, use uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, use)) }
