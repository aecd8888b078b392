package dataplane

import (
	"context"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/routes"
	"github.com/meshway/meshway/routes/routestest"
)

// looks returns how often the routes of the kernel were read.
func (w *gatewayWorld) looks() int { return w.cfg.Kernel.Routes.(*routestest.Kernel).Calls().Observe }

func TestAPassReadsTheRoutesOnlyAfterEventsAndErrorsAndFromTimeToTime(t *testing.T) {
	w := newGatewayWorld(t)
	w.catchUp(t.Context())
	w.pass(t.Context())
	w.pass(t.Context()) // with sessions
	looked := func() bool {
		before := w.looks()
		w.pass(t.Context())
		return w.looks() > before
	}
	assert.False(t, looked(), "nothing has happened")
	w.liveness.up = false
	assert.False(t, looked(), "what a verdict changes is known")
	w.kernelChanged()
	assert.True(t, looked(), "another program has changed something")
	assert.False(t, looked())
	old := *w.last.Load()
	old.lookedAt = old.lookedAt.Add(-resyncInterval)
	w.last.Store(&old)
	assert.True(t, looked(), "changes without an event are repaired")
	w.host.err = assert.AnError
	w.pass(t.Context())
	w.host.err = nil
	assert.True(t, looked(), "the last pass failed")
	assert.False(t, looked())
}

// slowKernel calls during in each look.
type slowKernel struct {
	routes.Kernel
	during func()
}

func (k slowKernel) Observe(ctx context.Context, table int) (routes.Observed, error) {
	o, err := k.Kernel.Observe(ctx, table)
	k.during()
	return o, err
}

func TestAVerdictChangesItsGroupWhileAPassIsUnderWay(t *testing.T) {
	w := newGatewayWorld(t)
	w.catchUp(t.Context())
	w.pass(t.Context())
	w.pass(t.Context())
	kernel := w.cfg.Kernel.Routes
	members := func() []uint32 {
		o, err := kernel.Observe(t.Context(), routes.DefaultTable)
		require.NoError(t, err)
		require.NotEmpty(t, o.Groups)
		return o.Groups[0].Members
	}
	lane, blackhole := []uint32{routes.LaneNexthopID(0, routes.IPv4)}, []uint32{routes.BlackholeID(routes.IPv4)}
	require.Equal(t, lane, members())

	passing := 0
	w.Gateway.routes.Kernel = slowKernel{kernel, func() {
		if passing++; passing == 1 {
			w.liveness.up = false // after the plan of this pass
			w.regroup(t.Context())
			assert.Equal(t, blackhole, members(), "during the pass")
		}
	}}
	w.kernelChanged()
	w.pass(t.Context())
	assert.Equal(t, blackhole, members(), "the plan was older")
	assert.NotZero(t, passing)
	w.liveness.up = true
	w.regroup(t.Context())
	assert.Equal(t, lane, members(), "without a pass")
	w.pass(t.Context())
	assert.Equal(t, lane, members())
}

// failingKernel calls during in each write, which then fails.
type failingKernel struct {
	routes.Kernel
	during func()
}

func (k failingKernel) Apply(context.Context, routes.Change) error {
	k.during()
	return assert.AnError
}

func TestTheNextPassBeginsAfterTheGroupOfAVerdictWasWritten(t *testing.T) {
	w := newGatewayWorld(t)
	w.catchUp(t.Context())
	w.pass(t.Context())
	w.pass(t.Context())
	begins := w.regrouped.Changed()
	pending := func() bool {
		select {
		case <-begins:
			return false
		default:
			return true
		}
	}
	writes := 0
	w.Gateway.routes.Kernel = failingKernel{w.cfg.Kernel.Routes, func() {
		writes++
		assert.True(t, pending(), "while the group is written")
	}}
	w.liveness.up = false
	w.regroup(t.Context())
	assert.Equal(t, 1, writes)
	assert.False(t, pending(), "after the group was written, although that has failed")
}
