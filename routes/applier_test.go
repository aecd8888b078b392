package routes_test

import (
	"bytes"
	"errors"
	"log/slog"
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/routes"
	"github.com/meshway/meshway/routes/routestest"
)

func TestApplyWithoutDifferencesWritesNothing(t *testing.T) {
	k, want := kernel(), routestest.Sample()
	_, err := routestest.Apply(t.Context(), k, want, true)
	require.NoError(t, err)
	before := k.Calls()
	assert.Equal(t, 2, before.Observe, "before and after")
	_, err = routestest.Apply(t.Context(), k, want, true)
	require.NoError(t, err)
	after := k.Calls()
	assert.Equal(t, before.Apply, after.Apply)
	assert.Equal(t, before.Observe+1, after.Observe, "only once, because nothing was written")
}

func TestLosingAGatewayWritesOneEntry(t *testing.T) {
	k, want := kernel(), routestest.Sample()
	for i := range 1000 {
		want.Routes = append(want.Routes, routes.Route{
			Prefix:  netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 100, byte(i / 256), byte(i)}), 32),
			Nexthop: routes.GroupID(0, routes.IPv4),
		})
	}
	_, err := routestest.Apply(t.Context(), k, want, true)
	require.NoError(t, err)
	before := k.Calls().Messages
	want.Groups[0].Members = []uint32{routes.BlackholeID(routes.IPv4)}
	_, err = routestest.Apply(t.Context(), k, want, true)
	require.NoError(t, err)
	assert.Equal(t, before+1, k.Calls().Messages)
}

func TestApplyReturnsTheKernelStateAfterAPartialFailure(t *testing.T) {
	k, want := kernel(), routestest.Sample()
	full, busy := errors.New("no buffer space"), errors.New("device busy")
	k.Fail("add route 10.3.0.0/16", full)
	k.Fail("add rule", busy)
	got, err := routestest.Apply(t.Context(), k, want, true)
	require.ErrorIs(t, err, full)
	require.ErrorIs(t, err, busy, "all errors are returned")
	assert.Equal(t, want.Groups, got.Groups)
	assert.Empty(t, got.Rules)
	assert.NotContains(t, got.Routes, want.Routes[1])
	assert.Contains(t, got.Routes, want.Routes[0])

	k.Heal()
	got, err = routestest.Apply(t.Context(), k, want, true)
	require.NoError(t, err)
	assert.Equal(t, want, got.Config)
}

func TestApplyWritesNothingWhenObservingFails(t *testing.T) {
	k := kernel()
	broken := errors.New("dump interrupted")
	for _, operation := range []string{"observe", "sysctls"} {
		k.Fail(operation, broken)
		_, err := routestest.Apply(t.Context(), k, routestest.Sample(), true)
		require.ErrorIs(t, err, broken)
		k.Heal()
	}
	k.Fail("observe", broken)
	_, err := routes.Remove(t.Context(), k, routes.DefaultTable)
	require.ErrorIs(t, err, broken)
	assert.Zero(t, k.Calls().Apply)
}

func TestApplierCountsOnlyRepairs(t *testing.T) {
	k, want := kernel(), routestest.Sample()
	a := routes.Applier{Kernel: k}
	got, err := a.Apply(t.Context(), want, true)
	require.NoError(t, err)
	assert.Zero(t, got.Repaired, "the first apply is no repair")
	want.Routes[0].Nexthop = routes.GroupID(1, routes.IPv4)
	got, err = a.Apply(t.Context(), want, true)
	require.NoError(t, err)
	assert.Zero(t, got.Repaired, "a new configuration is no repair")
	k.DeleteRoute(routes.DefaultTable, want.Routes[0].Prefix)
	k.SetSysctl(routes.Sysctl{Key: want.Sysctls[1].Key, Value: "1"})
	got, err = a.Apply(t.Context(), want, true)
	require.NoError(t, err)
	assert.Equal(t, uint64(2), got.Repaired)
	got, err = a.Apply(t.Context(), want, true)
	require.NoError(t, err)
	assert.Equal(t, uint64(2), got.Repaired)
}

func TestApplierLogsTheDifferenceOnly(t *testing.T) {
	var out bytes.Buffer
	k, want := kernel(), routestest.Sample()
	a := routes.Applier{Kernel: k, Log: slog.New(slog.NewTextHandler(&out, nil))}
	_, err := a.Apply(t.Context(), want, true)
	require.NoError(t, err)
	out.Reset()
	_, err = a.Apply(t.Context(), want, true)
	require.NoError(t, err)
	assert.Empty(t, out.String())
	k.DeleteRule(routes.DefaultTable, want.Rules[0])
	_, err = a.Apply(t.Context(), want, true)
	require.NoError(t, err)
	assert.Equal(t, 1, strings.Count(out.String(), "\n"))
	assert.Contains(t, out.String(), "ip rule add not fwmark 0x20/0x20 lookup 7117")
	assert.Contains(t, out.String(), "repairs=1")
}

func TestApplierLogsAFailingChangeOnce(t *testing.T) {
	var out bytes.Buffer
	k, want := kernel(), routestest.Sample()
	a := routes.Applier{Kernel: k, Log: slog.New(slog.NewTextHandler(&out, nil))}
	pass := func() int {
		out.Reset()
		_, _ = a.Apply(t.Context(), want, true)
		return strings.Count(out.String(), "changing routes")
	}
	k.Fail("add route 10.3.0.0/16", errors.New("no buffer space"))
	assert.Equal(t, 1, pass(), "the whole change")
	assert.Equal(t, 1, pass(), "the entries that are left")
	assert.Zero(t, pass())
	want.Routes[0].Nexthop = routes.GroupID(1, routes.IPv4)
	assert.Equal(t, 1, pass(), "another change")
	k.Heal()
	assert.LessOrEqual(t, pass(), 1)
	k.DeleteRoute(routes.DefaultTable, want.Routes[0].Prefix)
	assert.Equal(t, 1, pass(), "a repair")
	k.DeleteRoute(routes.DefaultTable, want.Routes[0].Prefix)
	assert.Equal(t, 1, pass(), "the same repair again, because the former one succeeded")
}
