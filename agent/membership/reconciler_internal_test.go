package membership

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/agent/control"
	"github.com/meshway/meshway/agent/identity"
	"github.com/meshway/meshway/agent/member"
	"github.com/meshway/meshway/agent/membership/internal/refusals"
	"github.com/meshway/meshway/agent/notify"
	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/agent/status"
	"github.com/meshway/meshway/consensus"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/tunnel"
)

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
		assert.Equal(t, joining, w.states[0])
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
			time.Sleep(time.Nanosecond)
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
		time.Sleep(time.Nanosecond)
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

func TestTooFewReportsOfARemovalAreAProblemAndDeleteNothing(t *testing.T) {
	simulate(t, nil, func(t *testing.T, w *reconcilerWorld) {
		w.siblings.state = w.shared()
		require.NoError(t, w.store.SaveMembership(w.membership()))
		report := func(err error) *plan.Problem {
			w.listedErr, w.listedOK = err, true
			w.inside(t, func(s *situation) { s.member.listed, s.member.leader, s.member.cutOff = false, false, true })
			_, stored, err := w.store.Membership()
			require.NoError(t, err)
			assert.True(t, stored)
			return w.member.removed.Load()
		}
		denied := []catalog.GatewayID{"west/gw"}
		assert.Nil(t, report(&member.UndecidedError{Silent: []catalog.DatacenterName{"west"}}), "no gateway answers")
		p := report(&member.UndecidedError{Denied: denied})
		require.NotNil(t, p)
		assert.Equal(t, "gateway-removed", p.Code)
		assert.True(t, strings.HasPrefix(p.Remedy, "run meshctl leave --force on this host"), p.Remedy)
		p = report(&member.UndecidedError{Denied: denied, Silent: []catalog.DatacenterName{"north", "south"}})
		assert.True(t, strings.HasPrefix(p.Remedy, "start the gateways of north, south, whose reports decide; only if they are permanently lost, run meshctl leave"), p.Remedy)
		assert.NotNil(t, report(&member.UndecidedError{Silent: []catalog.DatacenterName{"west"}}), "an earlier report stays valid")
		assert.Nil(t, report(&member.UndecidedError{Denied: denied, Confirmed: 1}))
		report(&member.UndecidedError{Denied: denied})
		assert.Nil(t, report(nil))
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
		time.Sleep(cutOffGrace)
		w.removed = []catalog.GatewayID{"west/gw"}
		require.Empty(t, w.reconcile)
		w.inside(t, cutOff)
		assert.Equal(t, []string{"removedBy"}, w.take(), "the situation is gathered again after requests that take seconds")
		assert.Len(t, w.reconcile, 1, "at once")
		require.NotNil(t, w.member.removed.Load())
		assert.Equal(t, "removed", w.member.removed.Load().Code)
		w.removed = nil
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
		"already a member":          {err: &catalog.Refusal{Code: refusals.CodeAlreadyMember}},
		"any other error":           {err: assert.AnError, code: "join-failed"},
		"the federation is away":    {err: &catalog.Refusal{Code: control.CodeUnreachable}, code: "join-failed"},
		"the site is unknown":       {err: &catalog.Refusal{Code: refusals.CodeSiteUnknown}, code: "join-failed"},
		"the state is unknown":      {err: &catalog.Refusal{Code: refusals.CodeSharedStateUnknown}, code: "join-failed"},
		"another gateway joins":     {err: &catalog.Refusal{Code: refusals.CodeLocked}, code: "join-failed"},
		"the budget is used up":     {err: &catalog.Refusal{Code: consensus.CodeTooManyRequests, Remedy: "create one"}, code: "join-failed"},
		"another command runs":      {err: fmt.Errorf("join: %w", refusals.Busy()), code: "join-failed"},
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
