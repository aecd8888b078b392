package membership

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/agent/config"
	"github.com/meshway/meshway/agent/control"
	"github.com/meshway/meshway/agent/dataplane"
	"github.com/meshway/meshway/agent/identity"
	"github.com/meshway/meshway/agent/notify"
	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/agent/status"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/catalogpb"
	"github.com/meshway/meshway/routes/routestest"
	"github.com/meshway/meshway/tunnel"
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
	removed    catalog.GatewayID // result of removedBy
	states     []status.State    // during changes
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
	w.member = &running{membership: w.membership()}
	w.remote = remoteCalls{
		publish: func(context.Context, *running) error {
			w.calls = append(w.calls, "publish")
			return w.publishErr
		},
		listed: func(context.Context, identity.SharedState) (bool, error) {
			w.calls = append(w.calls, "listed")
			return w.listedOK, w.listedErr
		},
		enrol: func(context.Context, identity.SharedState, JoinRequest, Progress) error {
			w.calls, w.states = append(w.calls, "enrol"), append(w.states, w.runner.currentState())
			return w.enrolErr
		},
		removedBy: func(context.Context, *running) catalog.GatewayID {
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

func TestGatewayWaitsWithoutAMembership(t *testing.T) {
	simulate(t, nil, func(t *testing.T, w *reconcilerWorld) {
		assert.Equal(t, checkInterval, w.pass(t.Context()))
		assert.Empty(t, w.take())
		assert.Empty(t, w.codes())
	})
	simulate(t, func(c *Config) { c.Siblings = nil }, func(t *testing.T, w *reconcilerWorld) {
		assert.Equal(t, checkInterval, w.pass(t.Context()))
		assert.Nil(t, w.siblingsChanged())
		assert.Nil(t, w.catalogChanged())
		assert.False(t, w.DatacenterIsMember())
	})
}

func TestGatewayEnrolsIfItsDatacenterIsAMember(t *testing.T) {
	simulate(t, nil, func(t *testing.T, w *reconcilerWorld) {
		w.siblings.state = w.shared()
		w.enrolErr = &catalog.Refusal{Code: "name-taken", Message: "taken", Remedy: "rename it"}
		for _, wait := range []time.Duration{1, 2, 4, 8, 10, 10} {
			assert.Equal(t, wait*time.Second, w.pass(t.Context()))
			assert.Equal(t, []string{"enrolment-failed"}, w.codes())
		}
		assert.Contains(t, w.Status().Problems[0].Remedy, "rename it")
		assert.Equal(t, status.Joining, w.states[0])
		assert.Equal(t, status.Standalone, w.Status().State, "after a failure")

		w.enrolErr, w.calls = nil, nil
		assert.Equal(t, checkInterval, w.pass(t.Context()))
		assert.Equal(t, []string{"enrol"}, w.take())
		w.inside(t, nil)
		assert.Empty(t, w.codes(), "a member has no problem to become one")
		w.enrolErr = assert.AnError
		assert.Equal(t, retryInterval, w.pass(t.Context()), "the interval starts over")
	})
}

func TestNothingIsDoneWhileACommandRuns(t *testing.T) {
	simulate(t, nil, func(t *testing.T, w *reconcilerWorld) {
		w.siblings.state = w.shared()
		require.True(t, w.runner.command.TryLock())
		assert.Equal(t, retryInterval, w.pass(t.Context()))
		w.siblings.state = identity.SharedState{Left: w.membership().FederationID}
		w.inside(t, nil)
		assert.Equal(t, status.Standalone, w.Status().State)
		assert.Empty(t, w.take())
		assert.Empty(t, w.codes())
	})
}

func TestUnknownSharedStateIsAProblemAfterTheGrace(t *testing.T) {
	simulate(t, nil, func(t *testing.T, w *reconcilerWorld) {
		for name, reconcile := range map[string]func(){
			"outside":          func() { w.pass(t.Context()) },
			"member, reading":  func() { w.inside(t, nil) },
			"member, a change": func() { w.pass(t.Context()); w.inside(t, nil) },
		} {
			w.siblings.err = assert.AnError
			reconcile()
			time.Sleep(problemGrace - 1)
			reconcile()
			assert.Empty(t, w.codes(), name)
			time.Sleep(1)
			reconcile()
			assert.Equal(t, []string{"siblings-unknown"}, w.codes(), name)
			w.siblings.err = nil
			reconcile()
			assert.Empty(t, w.codes(), name)
		}
	})
}

func TestUnwrittenSharedStateIsAProblemAfterTheGrace(t *testing.T) {
	simulate(t, nil, func(t *testing.T, w *reconcilerWorld) {
		w.publishErr = assert.AnError
		w.inside(t, nil)
		time.Sleep(problemGrace - 1)
		w.inside(t, nil)
		assert.Empty(t, w.codes())
		time.Sleep(1)
		w.inside(t, nil)
		assert.Equal(t, []string{"siblings-unknown"}, w.codes())
		w.inside(t, func(s *situation) {
			s.shared.Lock = &identity.MembershipLock{Gateway: "b", At: s.now}
		})
		assert.Equal(t, []string{"siblings-unknown"}, w.codes(), "a pass that writes nothing changes nothing")
		w.publishErr = nil
		w.inside(t, nil)
		assert.Empty(t, w.codes())

		w.publishErr = errForeignState
		changed := w.Changed()
		w.inside(t, nil)
		assert.Equal(t, []string{"siblings-differ"}, w.codes(), "without a grace")
		select {
		case <-changed:
		default:
			t.Error("the status has changed")
		}
	})
}

func TestLeaveOfTheDatacenterIsFollowed(t *testing.T) {
	simulate(t, nil, func(t *testing.T, w *reconcilerWorld) {
		require.NoError(t, w.store.SaveMembership(w.membership()))
		_, err := tunnel.Apply(t.Context(), w.tunnels, w.cfg.Key, []tunnel.Config{{Name: "mesh0", ListenPort: 51820}}, false)
		require.NoError(t, err)
		w.siblings.state = identity.SharedState{Left: w.membership().FederationID}
		assert.Equal(t, checkInterval, w.inside(t, nil))
		tunnels, err := w.tunnels.List(t.Context())
		require.NoError(t, err)
		assert.Empty(t, tunnels)
		_, member, err := w.store.Membership()
		require.NoError(t, err)
		assert.False(t, member)
		assert.Empty(t, w.take(), "nothing is published")
		assert.False(t, w.runner.busy())
	})
}

func TestGatewayThatWasRemovedEnrolsAgain(t *testing.T) {
	simulate(t, nil, func(t *testing.T, w *reconcilerWorld) {
		w.siblings.state = w.shared()
		removed := func(s *situation) { s.member.listed = false }
		isMember := func() bool {
			_, member, err := w.store.Membership()
			require.NoError(t, err)
			return member
		}
		require.NoError(t, w.store.SaveMembership(w.membership()))
		w.listedErr = assert.AnError
		w.inside(t, removed)
		assert.Equal(t, []string{"listed", "publish"}, w.take(), "no gateway answers")
		w.listedErr, w.listedOK = nil, true
		w.inside(t, removed)
		assert.Equal(t, []string{"listed", "publish"}, w.take(), "the local copy is behind")
		assert.True(t, isMember())
		w.listedOK = false
		w.inside(t, removed)
		assert.Equal(t, []string{"listed"}, w.take())
		assert.False(t, isMember())
	})
}

func TestAbsentGatewayIsRemovedIfAnotherReadingConfirmsIt(t *testing.T) {
	simulate(t, nil, func(t *testing.T, w *reconcilerWorld) {
		pass := func() []string {
			w.inside(t, func(s *situation) {
				s.member.hosts, s.member.hostsKnown, s.member.gateways = []string{"a"}, true, []string{"a", "b"}
			})
			return w.take()
		}
		assert.Equal(t, []string{"publish"}, pass())
		time.Sleep(absenceGrace)
		w.siblings.readErr = assert.AnError
		assert.Equal(t, []string{"publish"}, pass())
		w.siblings.readErr, w.siblings.hosts = nil, []string{"a", "b"}
		assert.Equal(t, []string{"publish"}, pass(), "its host is a gateway again")
		w.siblings.hosts = []string{"c"}
		assert.Equal(t, []string{"publish"}, pass(), "this host is no gateway itself")
		w.siblings.hosts = []string{"a"}
		assert.Equal(t, []string{"publish", "remove east/b"}, pass())
		assert.Equal(t, 4, w.siblings.readings)
	})
}

func TestRemovalOfTheDatacenterIsReportedUntilItIsConnected(t *testing.T) {
	simulate(t, nil, func(t *testing.T, w *reconcilerWorld) {
		cutOff := func(s *situation) { s.member.cutOff, s.member.leader = true, false }
		w.inside(t, cutOff)
		assert.Equal(t, []string{"publish"}, w.take())
		time.Sleep(silenceGrace)
		w.removed = "west/gw"
		require.Empty(t, w.reconcile)
		w.inside(t, cutOff)
		assert.Equal(t, []string{"removedBy"}, w.take(), "the situation is gathered again after requests that take seconds")
		assert.Len(t, w.reconcile, 1, "at once")
		require.NotNil(t, w.member.removed.Load())
		assert.Equal(t, "removed", w.member.removed.Load().Code)
		w.removed = ""
		time.Sleep(removalCheckInterval)
		w.inside(t, cutOff)
		assert.NotNil(t, w.member.removed.Load(), "no answer changes nothing")
		w.inside(t, nil)
		assert.Nil(t, w.member.removed.Load())
	})
}

func TestMissingTokenIsReportedUntilThereIsOne(t *testing.T) {
	token, err := "", errors.New("no such file")
	withToken := func(c *Config) {
		c.Siblings = nil
		c.Token = func() (string, error) { return token, err }
	}
	simulate(t, withToken, func(t *testing.T, w *reconcilerWorld) {
		assert.Equal(t, retryInterval, w.pass(t.Context()))
		assert.Equal(t, []string{"token-missing"}, w.codes())
		token, err = "not a token", nil
		assert.Equal(t, 2*retryInterval, w.pass(t.Context()))
		assert.Equal(t, []string{"join-failed"}, w.codes())
		w.history.joined = true
		w.pass(t.Context())
		assert.Empty(t, w.codes(), "after a leave the token is used")
	})
}

func TestDemotedGatewayDecidesNothing(t *testing.T) {
	simulate(t, nil, func(t *testing.T, w *reconcilerWorld) {
		w.siblings.state = w.shared()
		require.NoError(t, w.Demote(t.Context()))
		passes := 0
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			notify.Loop(ctx, func(ctx context.Context) time.Duration {
				passes++
				return w.pass(ctx)
			}, w.siblingsChanged, w.catalogChanged, w.reconcile.Changed)
		}()
		time.Sleep(time.Hour)
		w.siblings.changed.Notify()
		time.Sleep(time.Hour)
		cancel()
		<-ended
		assert.LessOrEqual(t, passes, 3, "one pass for each change")
		assert.Empty(t, w.take())
	})
}

func TestJoinIsTriedAgainOnlyIfItsFailureIsTemporary(t *testing.T) {
	for name, c := range map[string]struct {
		err   error
		code  string
		final bool
	}{
		"no failure":                {},
		"already a member":          {err: &catalog.Refusal{Code: codeAlreadyMember}},
		"any other error":           {err: assert.AnError, code: "join-failed"},
		"the federation is away":    {err: &catalog.Refusal{Code: control.CodeUnreachable}, code: "join-failed"},
		"the site is unknown":       {err: &catalog.Refusal{Code: codeSiteUnknown}, code: "join-failed"},
		"the state is unknown":      {err: &catalog.Refusal{Code: codeSharedStateUnknown}, code: "join-failed"},
		"another gateway joins":     {err: &catalog.Refusal{Code: codeLocked}, code: "join-failed"},
		"another command runs":      {err: fmt.Errorf("join: %w", busy()), code: "join-failed"},
		"the token is refused":      {err: &catalog.Refusal{Code: "token-expired", Remedy: "create one"}, code: "join-failed", final: true},
		"the token is used already": {err: fmt.Errorf("join: %w", &catalog.Refusal{Code: "token-used", Remedy: "create one"}), code: "join-failed", final: true},
	} {
		t.Run(name, func(t *testing.T) {
			problem, final := joinFailure(c.err)
			assert.Equal(t, c.final, final)
			if c.code == "" {
				assert.Nil(t, problem)
				return
			}
			require.NotNil(t, problem)
			assert.Equal(t, c.code, problem.Code)
			remedies := []string{"create one"}
			assert.Equal(t, c.final, slices.Contains(remedies, problem.Remedy))
		})
	}
}
