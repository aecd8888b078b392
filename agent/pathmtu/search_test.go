package pathmtu

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/meshway/meshway/routes"
)

// network answers the probes of a search. Time is simulated.
type network struct {
	*search
	now      time.Time
	limit    int // the largest packet that passes, bytes
	rtt      time.Duration
	loss     float64 // 0…1
	random   *rand.Rand
	bytes    int // of all probes
	sequence uint32
	answers  []answer // in the order of their arrival
}

type answer struct {
	at       time.Time
	sequence uint32
}

func newNetwork(tunnel, limit int) *network {
	now := time.Unix(1e9, 0)
	return &network{
		search: newSearch(tunnel, now), now: now, limit: limit, rtt: 10 * time.Millisecond,
		random: rand.New(rand.NewPCG(1, 2)),
	}
}

// run continues for a duration. It returns the time until the path MTU was want
// for the first time, or the whole duration.
func (n *network) run(d time.Duration, want int) time.Duration {
	began, took := n.now, d
	for end := n.now.Add(d); n.now.Before(end); {
		for len(n.answers) > 0 && !n.answers[0].at.After(n.now) {
			n.answer(n.answers[0].sequence, n.now)
			n.answers = n.answers[1:]
		}
		sizes, next := n.step(n.now)
		for _, size := range sizes {
			n.sequence++
			n.bytes += size
			n.sent(size, n.sequence, n.now)
			if size <= n.limit && n.random.Float64() >= n.loss {
				n.answers = append(n.answers, answer{n.now.Add(n.rtt), n.sequence})
			}
		}
		if took == d && n.mtu() == want {
			took = n.now.Sub(began)
		}
		n.now = n.search.next
		if len(n.answers) > 0 && n.answers[0].at.Before(next) {
			n.now = n.answers[0].at
		}
	}
	return took
}

// largest returns the largest size of a route that a path carries.
func largest(tunnel, limit int) int {
	fits := slices.DeleteFunc(routes.MTUs(tunnel), func(n int) bool { return n > limit })
	return fits[len(fits)-1]
}

func TestTheLargestSizeThatPassesIsFoundWithinASecond(t *testing.T) {
	for _, tunnel := range []int{1420, 1500, 8921, 65455} {
		for limit := 1280; limit <= min(tunnel, 9000); limit += 7 {
			n := newNetwork(tunnel, limit)
			want := largest(tunnel, limit)
			assert.Less(t, n.run(2*time.Second, want), time.Second, "tunnel %d, path %d", tunnel, limit)
			assert.Equal(t, want, n.mtu(), "tunnel %d, path %d", tunnel, limit)
		}
	}
}

func TestAPathThatBecomesNarrowerIsNoticedInLessThanASecond(t *testing.T) {
	for _, rtt := range []time.Duration{time.Millisecond, 50 * time.Millisecond, 150 * time.Millisecond} {
		n := newNetwork(1420, 1500)
		n.rtt = rtt
		n.run(time.Minute, 0)
		n.limit = 1340
		limit := time.Second
		if rtt > 100*time.Millisecond {
			limit = 2 * time.Second
		}
		assert.Less(t, n.run(5*time.Second, 1328), limit, "round trip of %v", rtt)
		assert.Equal(t, 1328, n.mtu())
	}
}

func TestAPathThatBecomesWiderIsUsedAfterMinutes(t *testing.T) {
	n := newNetwork(1420, 1340)
	n.run(time.Minute, 0)
	n.limit = 1500
	assert.LessOrEqual(t, n.run(10*time.Minute, 1420), raiseInterval+time.Second)
	assert.Equal(t, 1420, n.mtu())
}

func TestAShortDisturbanceIsForgottenSoon(t *testing.T) {
	n := newNetwork(1420, 1500)
	n.run(time.Minute, 0)
	n.limit = 1340
	n.run(2*time.Second, 0)
	n.limit = 1500
	assert.Less(t, n.run(time.Minute, 1420), raiseFirst+time.Second)
}

func TestALossyPathIsNotTakenForANarrowOne(t *testing.T) {
	n := newNetwork(1420, 1500)
	n.loss = 0.05
	for range 10 * 60 {
		n.run(time.Second, 0)
		assert.Equal(t, 1420, n.mtu())
	}
}

func TestAPathThatLosesEverythingIsNotTakenForANarrowOne(t *testing.T) {
	n := newNetwork(1420, 1500)
	n.run(time.Minute, 0)
	n.loss = 1
	n.run(time.Minute, 0)
	assert.Equal(t, 1420, n.mtu())
	n.loss = 0
	n.run(time.Minute, 0)
	assert.Equal(t, 1420, n.mtu())
}

func TestASlowPathIsNotTakenForANarrowOne(t *testing.T) {
	n := newNetwork(1420, 1500)
	for _, rtt := range []time.Duration{time.Millisecond, 900 * time.Millisecond, 300 * time.Millisecond} {
		n.rtt = rtt
		n.run(time.Minute, 0)
		assert.Equal(t, 1420, n.mtu(), "round trip of %v", rtt)
	}
}

func TestNothingIsKnownBeforeTheFirstAnswer(t *testing.T) {
	n := newNetwork(1420, 0)
	n.run(time.Minute, -1)
	assert.Zero(t, n.mtu())
}

func TestASizeBelowThatOfTunnelsIsFoundForTheReport(t *testing.T) {
	n := newNetwork(1420, 1150)
	n.run(2*time.Second, 0)
	assert.Equal(t, 1100, n.mtu())
}

func TestAChangedInterfaceBeginsANewSearch(t *testing.T) {
	n := newNetwork(1420, 1340)
	n.run(time.Minute, 0)
	n.setMax(1300, n.now)
	assert.Less(t, n.run(time.Second, 1300), time.Second)
	n.limit = 9000
	n.setMax(8921, n.now)
	assert.Less(t, n.run(time.Second, 8921), time.Second)
}

func TestProbesAreFew(t *testing.T) {
	n := newNetwork(1420, 1500)
	n.run(time.Minute, 0)
	assert.Less(t, n.bytes/60, 5000, "bytes per second on a path that carries the size in use")
	n.limit, n.bytes = 1340, 0
	n.run(10*time.Minute, 0)
	assert.Less(t, n.bytes/600, 5000, "on a narrow path")
	n.loss, n.bytes = 1, 0
	n.run(time.Minute, 0)
	assert.Less(t, n.bytes/60, 10000, "on a path that is down")
}
