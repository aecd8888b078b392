package dataplane

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/agent/state"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/routes/routestest"
)

func record(name catalog.DatacenterName, cidrs ...string) catalog.Datacenter {
	dc := catalog.Datacenter{Name: name}
	for _, c := range cidrs {
		dc.Prefixes = append(dc.Prefixes, catalog.Prefix{CIDR: netip.MustParsePrefix(c), Kind: catalog.PodPrefix})
	}
	return dc
}

func cidrs(w withdrawals) []string {
	out := []string{}
	for _, p := range w.list {
		out = append(out, fmt.Sprintf("%s of %s", p.Prefix.CIDR, p.Datacenter))
	}
	return out
}

func TestPrefixesThatNoDatacenterAnnouncesAreWithdrawnForTheGuardTime(t *testing.T) {
	start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	type list = []catalog.Datacenter
	east, west := record("east", "10.1.0.0/16"), record("west", "10.2.0.0/16", "10.3.0.0/16")
	var w withdrawals
	for _, step := range []struct {
		after   time.Duration
		records list
		want    []string
	}{
		{0, list{east, west}, nil},
		{time.Second, list{east, record("west", "10.2.0.0/16")}, []string{"10.3.0.0/16 of west"}},
		{2 * time.Second, list{east}, []string{"10.2.0.0/16 of west", "10.3.0.0/16 of west"}},
		{3 * time.Second, list{east}, []string{"10.2.0.0/16 of west", "10.3.0.0/16 of west"}},
		{4 * time.Second, list{record("east", "10.3.0.0/16")}, []string{"10.2.0.0/16 of west"}},
		{5 * time.Second, list{record("east")}, []string{"10.2.0.0/16 of west"}},
		{6 * time.Second, list{east, record("north", "10.2.0.0/16")}, nil},
		{7 * time.Second, list{east}, []string{"10.2.0.0/16 of north"}},
		{7*time.Second + plan.GuardTime - 1, list{east}, []string{"10.2.0.0/16 of north"}},
		{7*time.Second + plan.GuardTime, list{east}, nil},
	} {
		before := w
		w = before.next(start.Add(step.after), "east", step.records)
		assert.ElementsMatch(t, step.want, cidrs(w), step.after)
		assert.Equal(t, w, before.next(start.Add(step.after), "east", step.records), "withdrawals are a value")
	}
}

func TestAClockThatWasAheadDoesNotProlongAGuard(t *testing.T) {
	start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	both, alone := []catalog.Datacenter{record("east"), record("west", "10.2.0.0/16")}, []catalog.Datacenter{record("east")}
	w := withdrawals{}.next(start.AddDate(10, 0, 0), "east", both).next(start.AddDate(10, 0, 0), "east", alone)
	w = w.next(start, "east", alone)
	require.Len(t, w.list, 1)
	assert.Empty(t, w.next(start.Add(plan.GuardTime), "east", alone).list)
}

func TestWithdrawnPrefixesOfOneDatacenterAreBounded(t *testing.T) {
	start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	w := withdrawals{}.next(start, "east", []catalog.Datacenter{record("east"), record("west", "10.2.0.0/16")})
	for i := range 4 {
		hostile := catalog.Datacenter{Name: "north"}
		for j := range maxWithdrawn {
			a := netip.AddrFrom4([4]byte{10, byte(100 + i), byte(j >> 8), byte(j)})
			hostile.Prefixes = append(hostile.Prefixes, catalog.Prefix{CIDR: netip.PrefixFrom(a, 32)})
		}
		w = w.next(start.Add(time.Second), "east", []catalog.Datacenter{record("east"), hostile})
	}
	w = w.next(start.Add(2*time.Second), "east", []catalog.Datacenter{record("east")})
	assert.Len(t, w.list, maxWithdrawn+1)
	assert.Contains(t, cidrs(w), "10.2.0.0/16 of west", "it displaces none of another")
	assert.Contains(t, cidrs(w), "10.103.15.255/32 of north", "the newest stay")
}

func TestWithdrawnPrefixesOutliveTheAgentAndNotTheMembership(t *testing.T) {
	k := Kernel{
		Tunnels: newGatewayWorld(t).tunnels, Routes: routestest.NewKernel(), Firewall: routestest.NewFilter(),
		Withdrawn: state.File[[]plan.Withdrawn]{Path: filepath.Join(t.TempDir(), "withdrawn.json"), What: "withdrawn prefixes"},
	}
	start, alone := time.Date(2026, 1, 2, 3, 4, 5, 678, time.Local), []catalog.Datacenter{record("east")}
	pass := func(w withdrawals, after time.Duration, records []catalog.Datacenter) withdrawals {
		t.Helper()
		require.NoError(t, w.load(k.Withdrawn))
		w = w.next(start.Add(after), "east", records)
		require.NoError(t, w.save(k.Withdrawn))
		return w
	}
	w := pass(withdrawals{}, 0, []catalog.Datacenter{record("east"), record("west", "10.2.0.0/16")})
	w = pass(w, time.Second, alone)
	require.Len(t, w.list, 1)

	assert.Equal(t, w.list, pass(withdrawals{}, time.Minute, alone).list, "the next agent has them")
	assert.Empty(t, pass(withdrawals{}, time.Second+plan.GuardTime, alone).list)
	assert.Empty(t, pass(withdrawals{}, 2*time.Second+plan.GuardTime, alone).list)

	pass(w, 2*time.Second, []catalog.Datacenter{record("east"), record("north", "10.4.0.0/16")})
	require.NoError(t, CleanUp(t.Context(), k, 7117))
	assert.Empty(t, pass(withdrawals{}, 3*time.Second, alone).list, "the datacenter has left")
}

// savedWithdrawals counts the writes to a store.
type savedWithdrawals struct{ writes int }

func (*savedWithdrawals) Load() ([]plan.Withdrawn, bool, error) { return nil, false, nil }
func (s *savedWithdrawals) Save([]plan.Withdrawn) error         { s.writes++; return nil }
func (*savedWithdrawals) Remove() error                         { return nil }

func TestOnlyThePassStoresWhatItsInputsShow(t *testing.T) {
	w, store := newGatewayWorld(t), &savedWithdrawals{}
	w.cfg.Kernel.Withdrawn = store
	topology := catalogOf(w.catalog.View())
	for i := range topology.Gateways {
		topology.Gateways[i].Endpoints = []string{"gw.example:51820"}
	}
	before := pass{withdrawals: withdrawals{records: []catalog.Datacenter{record("dc1", "10.99.0.0/16")}}}
	p := &pass{outcome: outcome{at: time.Now()}, withdrawals: before.withdrawals}
	require.NoError(t, w.gather(t.Context(), p, topology, w.cfg.Site.Current(), before))
	require.Len(t, p.inputs.Withdrawn, 1)
	assert.Zero(t, store.writes)
	assert.Empty(t, w.resolver.names)

	w.cfg.Trust = trusted{topology}
	w.last.Store(&before)
	w.pass(t.Context())
	assert.Equal(t, 1, store.writes)
	assert.Contains(t, w.resolver.names, "gw.example")
}

// trusted has one catalog, whatever there is.
type trusted struct{ topology plan.Catalog }

func (t trusted) Verify(plan.Catalog, time.Time) (plan.Catalog, []plan.Problem) {
	return t.topology, nil
}
func (trusted) Changed() <-chan struct{} { return nil }
func (trusted) Save() error              { return nil }
