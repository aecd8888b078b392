package dataplane

import (
	"errors"
	"net/netip"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/agent/state"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/routes"
	"github.com/meshway/meshway/routes/routestest"
)

func policyRoutes(cidrs ...string) []routes.HostRoute {
	var out []routes.HostRoute
	for _, c := range cidrs {
		out = append(out, routes.HostRoute{Prefix: netip.MustParsePrefix(c), Device: "eth1", Table: 100})
	}
	return out
}

func TestPolicyRoutesStayLocalIfTheyWereThereBeforeTheirRangeWasAnnounced(t *testing.T) {
	type list = []catalog.Datacenter
	east, west := record("east", "10.1.0.0/16"), record("west", "10.2.0.0/16")
	before := policyRoutes("10.2.200.0/24", "10.3.0.0/16", "10.0.0.0/8", "10.1.7.0/24")
	later := append(policyRoutes("10.2.7.0/24"), before...)
	withdrawn := []plan.Withdrawn{{Datacenter: "west", Prefix: west.Prefixes[0]}}
	var e plan.Earlier
	for _, step := range []struct {
		name      string
		records   list
		withdrawn []plan.Withdrawn
		policy    []routes.HostRoute
		unsynced  bool
		want      []routes.HostRoute
	}{
		{"alone", list{east}, nil, before, false, nil},
		{"west joins", list{east, west}, nil, before, false, before[:1]},
		{"another program adds a route", list{east, west}, nil, later, false, before[:1]},
		{"west announces more", list{east, record("west", "10.2.0.0/16", "10.3.0.0/16")}, nil, later, false, before[:2]},
		{"a program removes its table", list{east, west}, nil, nil, false, nil},
		{"and adds it again", list{east, west}, nil, later, false, before[:1]},
		{"west withdraws for a moment", list{east}, withdrawn, later, false, before[:1]},
		{"and returns", list{east, west}, nil, later, false, before[:1]},
		{"the copy of the catalog is behind", list{east}, nil, later, true, before[:1]},
		{"and complete", list{east, west}, nil, later, false, before[:1]},
		{"west leaves", list{east}, nil, later, false, nil},
		{"west joins after the added route", list{east, west}, nil, later, false, later[:2]},
	} {
		e = e.Next("east", step.records, step.withdrawn, step.policy, !step.unsynced)
		assert.ElementsMatch(t, step.want, e.Of(step.policy), step.name)
	}
}

// TestEarlierPolicyRoutesOutliveTheAgentAndNotTheMembership restarts the agent with what is
// in Meshway's table, and after a restart of the host without.
func TestEarlierPolicyRoutesOutliveTheAgentAndNotTheMembership(t *testing.T) {
	kernel := routestest.NewKernel()
	k := Kernel{
		Tunnels: newGatewayWorld(t).tunnels, Routes: kernel, Firewall: routestest.NewFilter(),
		Earlier: state.File[plan.EarlierRecord]{Path: filepath.Join(t.TempDir(), "earlier.json"), What: "ranges"},
	}
	both := []catalog.Datacenter{record("east"), record("west", "10.2.0.0/16", "10.3.0.0/16")}
	pass := func(e earlier, policy ...string) (earlier, []routes.HostRoute) {
		t.Helper()
		require.NoError(t, e.load(t.Context(), k, 7117))
		e.Earlier = e.Next("east", both, nil, policyRoutes(policy...), true)
		require.NoError(t, e.save(k.Earlier))
		return e, e.Of(policyRoutes(policy...))
	}
	_, kept := pass(earlier{}, "10.2.200.0/24")
	assert.Equal(t, policyRoutes("10.2.200.0/24"), kept)

	require.NoError(t, kernel.Apply(t.Context(), routes.Change{Table: 7117, Routes: routes.Delta[routes.Route]{Add: []routes.Route{{Prefix: netip.MustParsePrefix("10.2.0.0/16"), Kind: routes.Guard}}}}))
	_, kept = pass(earlier{}, "10.2.200.0/24", "10.2.7.0/24", "10.3.7.0/24")
	assert.Equal(t, policyRoutes("10.2.200.0/24"), kept, "the others were added after the announcement")

	k.Routes = routestest.NewKernel()
	_, kept = pass(earlier{}, "10.2.200.0/24", "10.2.7.0/24", "10.3.7.0/24")
	assert.Equal(t, policyRoutes("10.2.200.0/24"), kept, "and before the boot")

	require.NoError(t, CleanUp(t.Context(), k, 7117))
	e, _ := pass(earlier{})
	_, kept = pass(e, "10.2.200.0/24")
	assert.Empty(t, kept, "the datacenter has left")
}

// unreliableStore fails to save while failed is set.
type unreliableStore[T any] struct {
	failed error
	saved  T
}

func (s *unreliableStore[T]) Load() (value T, ok bool, err error) { return s.saved, true, nil }
func (s *unreliableStore[T]) Remove() error                       { return nil }

func (s *unreliableStore[T]) Save(value T) error {
	if s.failed == nil {
		s.saved = value
	}
	return s.failed
}

func TestAnotherPassStoresWhatOneCouldNotStore(t *testing.T) {
	full := errors.New("no space left on device")
	t.Run("earlier ranges", func(t *testing.T) {
		store := &unreliableStore[plan.EarlierRecord]{failed: full}
		var e earlier
		e.Earlier = plan.NewEarlier(plan.EarlierRecord{Ranges: []netip.Prefix{netip.MustParsePrefix("10.2.0.0/16")}}, nil)
		require.ErrorIs(t, e.save(store), full)
		store.failed = nil
		require.NoError(t, e.save(store))
		assert.Equal(t, e.Record().Ranges, store.saved.Ranges)
	})
	t.Run("withdrawn prefixes", func(t *testing.T) {
		store := &unreliableStore[[]plan.Withdrawn]{failed: full}
		w := withdrawals{list: []plan.Withdrawn{{Datacenter: "west"}}}
		require.ErrorIs(t, w.save(store), full)
		store.failed = nil
		require.NoError(t, w.save(store))
		assert.Equal(t, w.list, store.saved)
	})
}
