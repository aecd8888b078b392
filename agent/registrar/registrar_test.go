package registrar_test

import (
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/consensus"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/catalogpb"
)

func TestRegistrationIsWrittenAndStored(t *testing.T) {
	w := newWorld(t)
	index, queued, err := w.Register(t.Context(), service("web", "10.1.0.10"))
	require.NoError(t, err)
	assert.False(t, queued)
	assert.NotZero(t, index)
	assert.Equal(t, []string{"web"}, w.catalog.services())
	assert.Equal(t, []string{"web"}, names(w.store.services))

	removed, queued, err := w.Deregister(t.Context(), "", "web", "")
	require.NoError(t, err)
	assert.False(t, queued)
	assert.Equal(t, 1, removed)
	assert.Empty(t, w.catalog.services())
	assert.Empty(t, w.store.services)

	removed, _, err = w.Deregister(t.Context(), "", "web", "")
	require.NoError(t, err)
	assert.Zero(t, removed, "a service that is not registered")
}

func TestRegistrationIsQueuedWithoutALeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.run(t)
		w.catalog.set(func() { w.catalog.err = consensus.ErrNoLeader })
		_, queued, err := w.Register(t.Context(), service("web", "10.1.0.10"))
		require.NoError(t, err)
		assert.True(t, queued)
		start := time.Now()
		pending, since, refused := w.Queue()
		assert.Equal(t, 1, pending)
		assert.Equal(t, start, since)
		assert.Empty(t, refused)
		assert.Equal(t, []string{"web"}, names(w.store.services), "a restart keeps the queue")

		time.Sleep(time.Minute)
		_, since, _ = w.Queue()
		assert.Equal(t, start, since)
		w.catalog.set(func() { w.catalog.err = nil })
		time.Sleep(time.Second)
		synctest.Wait()
		assert.Equal(t, []string{"web"}, w.catalog.services())
		pending, since, _ = w.Queue()
		assert.Zero(t, pending)
		assert.Zero(t, since)

		w.catalog.set(func() { w.catalog.err = consensus.ErrNoLeader })
		removed, queued, err := w.Deregister(t.Context(), "default", "web", "a")
		require.NoError(t, err)
		assert.True(t, queued)
		assert.Equal(t, 1, removed)
		w.catalog.set(func() { w.catalog.err = nil })
		time.Sleep(time.Second)
		synctest.Wait()
		assert.Empty(t, w.catalog.services())
	})
}

func TestOtherErrorsOfAWriteAreReturned(t *testing.T) {
	w := newWorld(t)
	w.catalog.set(func() { w.catalog.err = consensus.ErrUncertain })
	_, queued, err := w.Register(t.Context(), service("web", "10.1.0.10"))
	assert.True(t, queued)
	assert.ErrorIs(t, err, consensus.ErrUncertain)

	w.store.err = assert.AnError
	_, queued, err = w.Register(t.Context(), service("api", "10.1.0.11"))
	assert.False(t, queued)
	assert.ErrorIs(t, err, assert.AnError)
}

func TestRefusedRegistrationChangesNothing(t *testing.T) {
	w := newWorld(t)
	for _, s := range []catalog.Service{service("web", "10.1.0.10"), service("api", "10.1.0.11")} {
		_, _, err := w.Register(t.Context(), s)
		require.NoError(t, err)
	}
	before, _ := w.store.Load()
	w.catalog.set(func() { w.catalog.refuse["web"] = catalog.Refusal{Code: "conflict", Message: "taken"} })
	for name, s := range map[string]catalog.Service{
		"a changed service":  service("web", "10.1.0.99"),
		"another instance":   {ServiceKey: catalog.ServiceKey{Name: "web"}, Address: netip.MustParseAddr("10.1.0.98")},
		"the same once more": service("web", "10.1.0.10"),
	} {
		t.Run(name, func(t *testing.T) {
			_, queued, err := w.Register(t.Context(), s)
			var refusal *catalog.Refusal
			require.ErrorAs(t, err, &refusal)
			assert.Equal(t, "conflict", refusal.Code)
			assert.False(t, queued)
			after, _ := w.store.Load()
			assert.ElementsMatch(t, before, after)
			pending, _, _ := w.Queue()
			assert.Zero(t, pending)
		})
	}
}

func TestRefusalKeepsRegistrationsThatWereMadeMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		_, _, err := w.Register(t.Context(), service("old", "10.1.0.9"))
		require.NoError(t, err)
		w.catalog.refuse["web"] = catalog.Refusal{Code: "conflict"}
		var meanwhile sync.WaitGroup
		w.catalog.before = func(c *catalogpb.Command) {
			if s := c.GetPutServices().GetServices(); len(s) == 0 || s[0].GetName() != "web" {
				return
			}
			meanwhile.Go(func() {
				_, _, err := w.Register(t.Context(), service("api", "10.1.0.11"))
				assert.NoError(t, err)
			})
			meanwhile.Go(func() {
				_, _, err := w.Deregister(t.Context(), "default", "old", "")
				assert.NoError(t, err)
			})
			time.Sleep(time.Second) // until both are stored
		}
		_, _, err = w.Register(t.Context(), service("web", "10.1.0.10"))
		var refusal *catalog.Refusal
		require.ErrorAs(t, err, &refusal)
		meanwhile.Wait()
		assert.Equal(t, []string{"api"}, names(w.store.services))
		pending, _, _ := w.Queue()
		assert.Zero(t, pending, "the catalog has what is registered")
	})
}

func TestRefusalKeepsANewerRegistrationOfTheSameService(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.catalog.refuse["web"] = catalog.Refusal{Code: "conflict"}
		var meanwhile sync.WaitGroup
		first := true
		w.catalog.before = func(*catalogpb.Command) {
			if !first {
				w.catalog.set(func() { w.catalog.err = consensus.ErrNoLeader })
				return
			}
			first = false
			meanwhile.Go(func() {
				_, queued, err := w.Register(t.Context(), service("web", "10.1.0.20"))
				assert.NoError(t, err)
				assert.True(t, queued)
			})
			time.Sleep(time.Second) // until it is stored
		}
		_, _, err := w.Register(t.Context(), service("web", "10.1.0.10"))
		require.Error(t, err)
		meanwhile.Wait()
		require.Len(t, w.store.services, 1)
		assert.Equal(t, netip.MustParseAddr("10.1.0.20"), w.store.services[0].Address)
	})
}

func TestRefusedRegistrationOfTheQueueIsAProblemThatEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.run(t)
		w.catalog.set(func() { w.catalog.err = consensus.ErrNoLeader })
		for _, s := range []catalog.Service{service("web", "10.1.0.10"), service("api", "10.1.0.11")} {
			_, _, err := w.Register(t.Context(), s)
			require.NoError(t, err)
		}
		w.catalog.set(func() {
			w.catalog.err = nil
			w.catalog.refuse["web"] = catalog.Refusal{Code: "conflict", Field: "name", Message: "taken", Remedy: "rename it"}
		})
		time.Sleep(time.Second)
		synctest.Wait()
		assert.Equal(t, []string{"api"}, w.catalog.services(), "a refused service does not hold back the others")
		pending, _, refused := w.Queue()
		assert.Zero(t, pending)
		require.Len(t, refused, 1)
		assert.Equal(t, "registration-refused", refused[0].Code)
		assert.Equal(t, "name", refused[0].Subject)
		assert.Equal(t, "rename it", refused[0].Remedy)
		time.Sleep(10 * time.Second)
		w.catalog.changed.Notify()
		synctest.Wait()
		assert.LessOrEqual(t, w.catalog.puts["web"], 3, "it is not written again at each change of the catalog, such as its own")

		w.catalog.set(func() { clear(w.catalog.refuse) })
		time.Sleep(time.Minute)
		synctest.Wait()
		_, _, refused = w.Queue()
		assert.Empty(t, refused)
		assert.ElementsMatch(t, []string{"api", "web"}, w.catalog.services())
	})
}

func TestRegistrationOfAnUnknownGatewayKeepsTheFormerRecord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.run(t)
		moved := w.gateway
		moved.Endpoints = []string{"203.0.113.9:51820"}
		w.Set(plan.Registration{Known: true, Gateway: moved, Prefixes: prefixes()})
		synctest.Wait()
		g, _ := w.catalog.View().Gateway("east/gw")
		assert.Equal(t, moved.Endpoints, g.Endpoints)

		w.Set(plan.Registration{})
		time.Sleep(time.Minute)
		synctest.Wait()
		g, _ = w.catalog.View().Gateway("east/gw")
		assert.Equal(t, moved.Endpoints, g.Endpoints)
		dc, _ := w.catalog.View().Datacenter("east")
		assert.Equal(t, prefixes(), dc.Prefixes)
		pending, _, _ := w.Queue()
		assert.Zero(t, pending)
	})
}
