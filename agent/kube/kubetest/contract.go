package kubetest

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// Contract is a set of tests that run on fake clusters and on real ones. F is the
// fixture of one test.
type Contract[F any] struct {
	Fixture func(*testing.T, Cluster) F
	Tests   map[string]func(*testing.T, F)
}

// Run runs the tests on one cluster, one after the other.
func (c Contract[F]) Run(t *testing.T, cluster Cluster) {
	for name, test := range c.Tests {
		t.Run(name, func(t *testing.T) { test(t, c.Fixture(t, cluster)) })
	}
}

// RunFake runs each test on its own cluster in a synctest bubble, where waiting takes
// no real time.
func (c Contract[F]) RunFake(t *testing.T, newCluster func(testing.TB) Cluster) {
	for name, test := range c.Tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { test(t, c.Fixture(t, newCluster(t))) })
		})
	}
}

// Timeout is how long a test waits for a condition. The conformance suite of the
// Multi-Cluster Services API has the same.
const Timeout = 20 * time.Second

const pollInterval = 10 * time.Millisecond

// Await waits up to Timeout until ok accepts the result of read.
func Await(t testing.TB, read func() string, ok func(string) bool) {
	t.Helper()
	last, accepted := poll(Timeout, read, ok)
	require.True(t, accepted, "last result: %q", last)
}

// AwaitValue waits up to limit until read returns want.
func AwaitValue(t testing.TB, limit time.Duration, read func() string, want string) {
	t.Helper()
	last, _ := poll(limit, read, func(got string) bool { return got == want })
	require.Equal(t, want, last)
}

// poll calls read until ok accepts the result or limit has passed. It returns the last
// result and whether it was accepted.
func poll(limit time.Duration, read func() string, ok func(string) bool) (string, bool) {
	ticks := time.NewTicker(pollInterval)
	defer ticks.Stop()
	deadline := time.Now().Add(limit)
	for {
		got := read()
		if ok(got) {
			return got, true
		}
		if time.Now().After(deadline) {
			return got, false
		}
		<-ticks.C
	}
}
