package registrar_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/agent/registrar"
	"github.com/meshway/meshway/consensus"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/replica"
)

func TestAConditionalWriteIsDoneOnlyIfTheInstanceIsUnchanged(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	first, err := w.RegisterIf(ctx, service("web", "10.1.0.1"), 0)
	require.NoError(t, err)
	var conflict *registrar.ConflictError
	_, err = w.RegisterIf(ctx, service("web", "10.1.0.2"), 0)
	require.ErrorAs(t, err, &conflict, "it exists")
	assert.Equal(t, first, conflict.Index)
	second, err := w.RegisterIf(ctx, service("web", "10.1.0.2"), first)
	require.NoError(t, err)
	_, err = w.RegisterIf(ctx, service("web", "10.1.0.3"), first)
	require.ErrorAs(t, err, &conflict, "it has changed")
	assert.Equal(t, second, conflict.Index)
	key := service("web", "10.1.0.2").ServiceKey
	require.ErrorAs(t, w.DeregisterIf(ctx, key, first), &conflict)
	assert.Equal(t, []string{"web"}, w.catalog.services())
	assert.Equal(t, []string{"web"}, names(w.store.services), "it is kept over a restart")
	require.NoError(t, w.DeregisterIf(ctx, key, second))
	assert.Empty(t, w.catalog.services())
	assert.Empty(t, w.store.services)
	require.ErrorAs(t, w.DeregisterIf(ctx, key, second), &conflict)
	assert.Zero(t, conflict.Index)
}

func TestAServiceOfTheConfigurationIsNotDeregistered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, service("web", "10.1.0.2"))
		w.run(t)
		all := w.catalog.View().Services(replica.ServiceFilter{})
		require.Len(t, all, 1)
		var refusal *catalog.Refusal
		require.ErrorAs(t, w.DeregisterIf(t.Context(), all[0].ServiceKey, all[0].ModifiedIndex), &refusal)
		assert.Equal(t, registrar.CodeConfigured, refusal.Code)
		assert.Equal(t, all, w.catalog.View().Services(replica.ServiceFilter{}), "nothing has changed")
	})
}

// The index is that of the catalog, which does not have a queued write yet.
func TestAConditionalWriteIsRefusedWhileAnEarlierWriteIsQueued(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	index, _, err := w.Register(ctx, service("web", "10.1.0.2"))
	require.NoError(t, err)
	queue := func(write func() (queued bool, err error)) {
		t.Helper()
		w.catalog.set(func() { w.catalog.err = consensus.ErrNoLeader })
		queued, err := write()
		require.NoError(t, err)
		require.True(t, queued)
		w.catalog.set(func() { w.catalog.err = nil })
	}
	var refusal *catalog.Refusal
	queue(func() (bool, error) {
		_, queued, err := w.Register(ctx, service("web", "10.1.0.3"))
		return queued, err
	})
	_, err = w.RegisterIf(ctx, service("web", "10.1.0.4"), index)
	require.ErrorAs(t, err, &refusal)
	assert.Equal(t, registrar.CodeQueued, refusal.Code)
	queue(func() (bool, error) {
		_, queued, err := w.Deregister(ctx, "default", "web", "a")
		return queued, err
	})
	_, err = w.RegisterIf(ctx, service("web", "10.1.0.4"), index)
	require.ErrorAs(t, err, &refusal)
	assert.Equal(t, registrar.CodeQueued, refusal.Code)
	assert.Empty(t, w.store.services, "nothing is registered again")
}

func TestOfConcurrentConditionalWritesOneIsDone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.store.delay = time.Millisecond
		w.run(t)
		index := uint64(0)
		for round := range 5 {
			var all sync.WaitGroup
			var mu sync.Mutex
			var done []uint64
			for i := range 10 {
				all.Go(func() {
					written, err := w.RegisterIf(t.Context(), service("web", fmt.Sprintf("10.1.%d.%d", round, i+1)), index)
					mu.Lock()
					defer mu.Unlock()
					if err == nil {
						done = append(done, written)
					}
				})
			}
			all.Wait()
			require.Len(t, done, 1)
			index = done[0]
		}
	})
}

func TestAConditionalWriteIsNotQueued(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.run(t)
		w.catalog.set(func() { w.catalog.err = consensus.ErrNoLeader })
		_, err := w.RegisterIf(t.Context(), service("web", "10.1.0.1"), 0)
		require.ErrorIs(t, err, consensus.ErrNoLeader)
		w.catalog.set(func() { w.catalog.err = nil })
		time.Sleep(time.Minute)
		assert.Empty(t, w.catalog.services())
		assert.Empty(t, w.store.services)
	})
}

func TestAConditionalWriteThatCannotBeStoredIsReverted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.run(t)
		w.store.err = errors.New("the disk is full")
		_, err := w.RegisterIf(t.Context(), service("web", "10.1.0.1"), 0)
		require.ErrorContains(t, err, "the disk is full")
		synctest.Wait()
		assert.Empty(t, w.catalog.services())
	})
}

func TestAConditionalWriteOfAnotherGatewaysInstanceIsRefused(t *testing.T) {
	w := newWorld(t)
	results, err := w.catalog.Propose(t.Context(), catalog.NewAddGateway(catalog.Gateway{
		Datacenter: "east", Name: "other", PublicKey: catalog.Key{2}, Version: "devel",
		Endpoints: []string{"203.0.113.2:51820"}, Controls: []string{"203.0.113.2:7443"},
	}))
	require.NoError(t, err)
	require.Nil(t, results[0].Refusal)
	s := service("web", "10.1.0.1")
	s.Datacenter, s.Owner = "east", "east/other"
	results, err = w.catalog.Propose(t.Context(), catalog.NewPutServices([]catalog.Service{s}))
	require.NoError(t, err)
	require.Nil(t, results[0].Refusal)
	index := w.catalog.View().Services(replica.ServiceFilter{})[0].ModifiedIndex
	var refusal *catalog.Refusal
	_, err = w.RegisterIf(t.Context(), service("web", "10.1.0.1"), index)
	require.ErrorAs(t, err, &refusal)
	assert.Equal(t, registrar.CodeNotOwner, refusal.Code)
	assert.Contains(t, refusal.Remedy, "east/other")
}
