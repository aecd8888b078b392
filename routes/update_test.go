package routes_test

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/routes"
	"github.com/meshway/meshway/routes/routestest"
)

func TestUpdateWritesADifferenceWithoutALook(t *testing.T) {
	k, want := kernel(), routestest.Sample()
	a := routes.Applier{Kernel: k}
	_, err := a.Update(t.Context(), want, true)
	require.NoError(t, err)
	before := k.Calls()
	got, err := a.Update(t.Context(), want, true)
	require.NoError(t, err)
	assert.Equal(t, before, k.Calls(), "nothing differs")
	assert.Equal(t, want, got.Config)

	want.Routes = want.Routes[1:]
	got, err = a.Update(t.Context(), want, true)
	require.NoError(t, err)
	after := k.Calls()
	assert.Equal(t, before.Observe, after.Observe)
	assert.Equal(t, before.Apply+1, after.Apply)
	real, err := k.Observe(t.Context(), want.Table)
	require.NoError(t, err)
	assert.Equal(t, want.Routes, real.Routes)
	assert.Equal(t, want.Routes, got.Routes)
}

func TestUpdateLooksAtTheKernelAfterAFailure(t *testing.T) {
	k, want := kernel(), routestest.Sample()
	a := routes.Applier{Kernel: k}
	_, err := a.Apply(t.Context(), want, true)
	require.NoError(t, err)
	full := errors.New("no buffer space")
	k.Fail("delete route", full)
	missing := want
	missing.Routes = want.Routes[1:]
	looks := k.Calls().Observe
	got, err := a.Update(t.Context(), missing, true)
	require.ErrorIs(t, err, full)
	assert.Equal(t, want.Routes, got.Routes, "as the kernel has them")
	assert.Greater(t, k.Calls().Observe, looks)
	k.Heal()
	got, err = a.Update(t.Context(), missing, true)
	require.NoError(t, err)
	assert.Equal(t, missing.Routes, got.Routes)
}

func TestUpdateWithoutPruneLooksAtTheKernel(t *testing.T) {
	k, want := kernel(), routestest.Sample()
	a := routes.Applier{Kernel: k}
	for range 2 {
		looks := k.Calls().Observe
		_, err := a.Update(t.Context(), want, false)
		require.NoError(t, err)
		assert.Greater(t, k.Calls().Observe, looks, "what else exists is not known")
	}
}

// looking runs a function while the kernel is observed.
type looking struct {
	*routestest.Kernel
	during func()
}

func (k looking) Observe(ctx context.Context, table int) (routes.Observed, error) {
	o, err := k.Kernel.Observe(ctx, table)
	k.during()
	return o, err
}

func TestRegroupDoesNotWaitForALookAndIsNotUndoneByIt(t *testing.T) {
	k, want := looking{Kernel: kernel(), during: func() {}}, routestest.Sample()
	lost := want.Groups[0]
	lost.Members = []uint32{routes.BlackholeID(lost.Family)}
	verdict := want.Groups
	a := routes.Applier{Kernel: &k, Groups: func(routes.Config) []routes.Group { return verdict }}
	_, err := a.Apply(t.Context(), want, true)
	require.NoError(t, err)

	k.during = func() { // what was observed is older than the verdict
		verdict = append([]routes.Group{lost}, want.Groups[1:]...)
		require.NoError(t, a.Regroup(t.Context()))
		now, err := k.Kernel.Observe(t.Context(), want.Table)
		require.NoError(t, err)
		assert.Equal(t, lost, now.Groups[0], "during the look")
		k.during = func() {}
	}
	got, err := a.Apply(t.Context(), want, true)
	require.NoError(t, err)
	assert.Equal(t, lost, got.Groups[0])
	now, err := k.Kernel.Observe(t.Context(), want.Table)
	require.NoError(t, err)
	assert.Equal(t, lost, now.Groups[0], "after an apply of an older plan")

	k.during = func() { // there and back again
		verdict = want.Groups
		require.NoError(t, a.Regroup(t.Context()))
		k.during = func() {}
	}
	got, err = a.Apply(t.Context(), want, true)
	require.NoError(t, err)
	assert.Equal(t, want.Groups, got.Groups)
	writes := k.Calls().Apply
	require.NoError(t, a.Regroup(t.Context()))
	assert.Equal(t, writes, k.Calls().Apply, "nothing has changed")
}
