//go:build linux && root

package kernel_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/routes"
	"github.com/meshway/meshway/routes/routestest"
)

// between is a context whose function is called before each batch of messages.
type between struct {
	context.Context
	batch func()
}

func (c between) Err() error {
	c.batch()
	return c.Context.Err()
}

func TestAGroupIsWrittenAmongTheRoutesOfAnotherChange(t *testing.T) {
	w, want := newWorld(t), manyRoutes(2_000)
	without := want
	without.Routes = nil
	_, err := routestest.Apply(t.Context(), w, without, true)
	require.NoError(t, err)
	lost := want.Groups[0]
	lost.Members = []uint32{routes.BlackholeID(routes.IPv4)}
	batches := 0
	ctx := between{t.Context(), func() {
		if batches++; batches != 3 {
			return
		}
		verdict := routes.Change{Table: want.Table, Groups: routes.Delta[routes.Group]{Replace: []routes.Group{lost}}}
		require.NoError(t, w.Apply(t.Context(), verdict))
		now, err := w.Observe(t.Context(), want.Table)
		require.NoError(t, err)
		assert.Equal(t, []routes.Group{lost}, now.Groups)
		assert.NotEmpty(t, now.Routes)
		assert.Less(t, len(now.Routes), len(want.Routes))
	}}
	require.NoError(t, w.Apply(ctx, routes.Change{Table: want.Table, Routes: routes.Delta[routes.Route]{Add: want.Routes}}))
	assert.GreaterOrEqual(t, batches, 3)
	now, err := w.Observe(t.Context(), want.Table)
	require.NoError(t, err)
	assert.Equal(t, want.Routes, now.Routes)
	assert.Equal(t, []routes.Group{lost}, now.Groups)
}
