package routes_test

import (
	"context"
	"errors"
	"net/netip"
	"slices"
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

// writing runs a function while routes are written.
type writing struct {
	*routestest.Kernel
	during func()
}

func (k writing) Apply(ctx context.Context, c routes.Change) error {
	if c.Routes.Len() > 0 {
		k.during()
	}
	return k.Kernel.Apply(ctx, c)
}

// verdictDuring makes the verdict that the first group, and the first of IPv6, have lost
// their gateways, while an application writes routes, and requires that it holds then and
// afterwards.
func verdictDuring(t *testing.T, k *writing, a *routes.Applier, want routes.Config, apply func() (routes.Observed, error)) {
	t.Helper()
	verdict := slices.Clone(want.Groups)
	for i := range 2 {
		verdict[i].Members = []uint32{routes.BlackholeID(verdict[i].Family)}
	}
	a.Groups = func(routes.Config) []routes.Group { return want.Groups }
	now := func() []routes.Group {
		o, err := k.Kernel.Observe(t.Context(), want.Table)
		require.NoError(t, err)
		return slices.DeleteFunc(o.Groups, func(g routes.Group) bool { // not deleted yet
			return !slices.ContainsFunc(want.Groups, func(w routes.Group) bool { return w.ID == g.ID })
		})
	}
	written := false
	k.during = func() {
		written, k.during = true, func() {}
		require.Equal(t, want.Groups, now(), "before")
		a.Groups = func(routes.Config) []routes.Group { return verdict }
		require.NoError(t, a.Regroup(t.Context()))
		assert.Equal(t, verdict, now(), "at once")
	}
	got, err := apply()
	require.NoError(t, err)
	assert.True(t, written)
	assert.Equal(t, verdict, now(), "what the application still wrote was older")
	assert.Equal(t, verdict, got.Groups)
	writes := k.Calls().Apply
	require.NoError(t, a.Regroup(t.Context()))
	got, err = a.Update(t.Context(), want, true)
	require.NoError(t, err)
	assert.Equal(t, writes, k.Calls().Apply, "nothing has changed")
	assert.Equal(t, verdict, got.Groups)
}

// sampleWithBlackholes is the sample with the blackholes of both families.
func sampleWithBlackholes() routes.Config {
	want := routestest.Sample()
	v6 := routes.Nexthop{ID: routes.BlackholeID(routes.IPv6), Family: routes.IPv6}
	want.Nexthops = slices.Insert(want.Nexthops, 1, v6)
	return want
}

func TestRegroupDoesNotWaitForTheRoutesOfTheFirstApply(t *testing.T) {
	k, want := &writing{Kernel: kernel()}, sampleWithBlackholes()
	a := &routes.Applier{Kernel: k}
	verdictDuring(t, k, a, want, func() (routes.Observed, error) { return a.Apply(t.Context(), want, true) })
}

func TestRegroupDoesNotWaitForTheRoutesOfARepair(t *testing.T) {
	k, want := &writing{Kernel: kernel(), during: func() {}}, sampleWithBlackholes()
	a := &routes.Applier{Kernel: k}
	_, err := a.Apply(t.Context(), want, true)
	require.NoError(t, err)
	k.DeleteRoute(want.Table, want.Routes[0].Prefix)
	verdictDuring(t, k, a, want, func() (routes.Observed, error) { return a.Apply(t.Context(), want, true) })
}

func TestRegroupDoesNotWaitForTheRoutesOfAnUpdate(t *testing.T) {
	k, before := &writing{Kernel: kernel(), during: func() {}}, sampleWithBlackholes()
	v6 := before.Routes[3]
	v6.Prefix = netip.MustParsePrefix("fd00:3::/48")
	before.Routes = append(before.Routes, v6)
	before.Groups[0].Members = before.Groups[2].Members
	a := &routes.Applier{Kernel: k}
	_, err := a.Apply(t.Context(), before, true)
	require.NoError(t, err)
	want := sampleWithBlackholes() // the update changes a group, and deletes an IPv6 route, after which groups are refreshed
	want.Groups = slices.Delete(want.Groups, 3, 4)
	want.Routes = slices.Delete(want.Routes, 2, 3)
	verdictDuring(t, k, a, want, func() (routes.Observed, error) { return a.Update(t.Context(), want, true) })
}

func TestRegroupDuringAFailingUpdateIsNotUndone(t *testing.T) {
	k, want := &writing{Kernel: kernel(), during: func() {}}, sampleWithBlackholes()
	a := &routes.Applier{Kernel: k}
	_, err := a.Apply(t.Context(), want, true)
	require.NoError(t, err)
	lost := slices.Clone(want.Groups)
	lost[0].Members = []uint32{routes.BlackholeID(routes.IPv4)}
	full := errors.New("no buffer space")
	k.Fail("delete route", full)
	k.during = func() {
		k.during = func() {}
		a.Groups = func(routes.Config) []routes.Group { return lost }
		require.NoError(t, a.Regroup(t.Context()))
	}
	less := want
	less.Routes = want.Routes[1:]
	got, err := a.Update(t.Context(), less, true)
	require.ErrorIs(t, err, full)
	assert.Equal(t, lost, got.Groups)
	k.Heal()
	got, err = a.Update(t.Context(), less, true)
	require.NoError(t, err)
	assert.Equal(t, lost, got.Groups)
	assert.Equal(t, less.Routes, got.Routes)
}
