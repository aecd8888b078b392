package membership

import (
	"context"
	"net/netip"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/agent/config"
	"github.com/meshway/meshway/agent/dataplane"
	"github.com/meshway/meshway/agent/identity"
	"github.com/meshway/meshway/agent/member"
	"github.com/meshway/meshway/agent/notify"
	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/catalogpb"
	"github.com/meshway/meshway/routes/routestest"
	"github.com/meshway/meshway/tunnel/tunneltest"
)

// fakeSiblings is a shared state in memory.
type fakeSiblings struct {
	changed  notify.Broadcast
	state    identity.SharedState
	err      error // of Current
	saveErr  error
	saves    int
	hosts    []string
	readErr  error
	readings int
}

func (s *fakeSiblings) Current() (identity.SharedState, error) { return s.state, s.err }
func (s *fakeSiblings) Changed() <-chan struct{}               { return s.changed.Changed() }
func (s *fakeSiblings) Gateways() ([]string, bool)             { return s.hosts, s.hosts != nil }

func (s *fakeSiblings) Save(_ context.Context, content identity.SharedState) error {
	s.saves++
	if s.saveErr == nil {
		s.state = content
	}
	return s.saveErr
}

func (s *fakeSiblings) ReadGateways(context.Context) ([]string, error) {
	s.readings++
	return s.hosts, s.readErr
}

type fakeHost struct{}

func (fakeHost) Observe(context.Context) (plan.Host, error) {
	return plan.Host{Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.1")}}, nil
}

func (fakeHost) LinkMTU(context.Context, []netip.Addr) int { return 0 }

func (fakeHost) Resolve(context.Context, string) ([]netip.Addr, error) { return nil, nil }

// reconcilerWorld is the reconciler of gateway east/a. Its runner runs without a
// membership; a member is only simulated.
type reconcilerWorld struct {
	*reconciler
	siblings   *fakeSiblings
	store      *identity.Store
	tunnels    *tunneltest.Fake
	member     *running
	calls      []string // remote calls
	publishErr error
	enrolErr   error
	listedOK   bool
	listedErr  error
	removed    []catalog.GatewayID // result of removedBy
	states     []membershipState   // during changes
	left       plan.Left           // of member
}

func newReconcilerWorld(t *testing.T, change func(*Config)) *reconcilerWorld {
	t.Helper()
	store, err := identity.Open(filepath.Join(t.TempDir(), "data"))
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, store.Close()) })
	w := &reconcilerWorld{siblings: &fakeSiblings{hosts: []string{"a"}}, store: store, tunnels: tunneltest.NewFake()}
	cfg := Config{
		File: config.Config{
			Datacenter: "east", Gateway: "a",
			WireGuard: config.WireGuard{Interface: "mesh", Port: 51820},
			Control:   config.Control{Listen: netip.MustParseAddrPort("0.0.0.0:7443")},
			Routing:   config.Routing{Table: 7117, RulePriority: 5400, Mark: 0x20},
		},
		Key:      tunneltest.Key(1),
		Identity: store,
		Kernel:   dataplane.Kernel{Tunnels: w.tunnels, Routes: routestest.NewKernel("mesh0"), Firewall: routestest.NewFilter()},
		Host:     fakeHost{},
		Siblings: w.siblings,
	}
	if change != nil {
		change(&cfg)
	}
	w.reconciler = newReconciler(New(cfg))
	w.member = &running{membership: w.membership(), leaving: func(at time.Time) (plan.Left, bool) { w.left.At = at; return w.left, true }}
	w.remote = remoteCalls{
		publish: func(context.Context, *running) error {
			w.calls = append(w.calls, "publish")
			return w.publishErr
		},
		listed: func(context.Context, identity.SharedState) (bool, error) {
			w.calls = append(w.calls, "listed")
			return w.listedOK, w.listedErr
		},
		enrol: func(context.Context, identity.SharedState, member.JoinRequest, member.Progress) error {
			w.calls, w.states = append(w.calls, "enrol"), append(w.states, w.runner.currentState())
			return w.enrolErr
		},
		removedBy: func(context.Context, *running) []catalog.GatewayID {
			w.calls = append(w.calls, "removedBy")
			return w.removed
		},
		propose: func(_ context.Context, _ *running, c *catalogpb.Command) ([]catalog.Result, error) {
			w.calls = append(w.calls, "remove "+c.GetRemoveGateway().GetGateway())
			return []catalog.Result{{}}, nil
		},
	}
	startRunner(t, w.runner)
	return w
}

func (w *reconcilerWorld) membership() identity.Membership {
	return identity.Membership{
		FederationID: "7f1a6f0e-7f4d-4b68-8f0f-5a1c1d1e2f3a", FederationName: "test", Datacenter: "east", Gateway: "a",
		Overlay: netip.MustParsePrefix("fd00:1::/48"), OverlayAddress: netip.MustParseAddr("fd00:1::1"),
	}
}

// shared returns the shared state of a datacenter that is a member.
func (w *reconcilerWorld) shared() identity.SharedState {
	return identity.SharedState{Membership: &identity.DatacenterMembership{FederationID: w.membership().FederationID}}
}

// inside reconciles in the situation of a healthy member, with a change.
func (w *reconcilerWorld) inside(t *testing.T, change func(*situation)) time.Duration {
	t.Helper()
	s := situation{now: time.Now(), gateway: "a", siblings: true, member: &memberSituation{
		federationID: w.membership().FederationID, leader: true, listed: true, datacenterListed: true,
	}}
	s.shared, s.sharedErr = w.siblings.Current()
	if change != nil {
		change(&s)
	}
	return w.reconcileIn(t.Context(), w.member, s)
}

// take returns the calls since the last one.
func (w *reconcilerWorld) take() []string {
	calls := w.calls
	w.calls = nil
	return calls
}

// codes returns the codes of the problems in the status.
func (w *reconcilerWorld) codes() []string {
	codes := []string{}
	for _, p := range w.Status().Problems {
		codes = append(codes, p.Code)
	}
	return codes
}

func simulate(t *testing.T, change func(*Config), f func(t *testing.T, w *reconcilerWorld)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { f(t, newReconcilerWorld(t, change)) })
}
