package membership

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/agent/membership/internal/refusals"
	"github.com/meshway/meshway/consensus/catalog"
)

// codeOf returns the code of a refusal; empty: err is none.
func codeOf(err error) string {
	if refusal, ok := errors.AsType[*catalog.Refusal](err); ok {
		return refusal.Code
	}
	return ""
}

func noProgress(string, string) {}

// TestCommandsDuringALeaveDoNotActOnTheMembershipThatEnds runs each command while another
// one has stopped the membership to end it.
func TestCommandsDuringALeaveDoNotActOnTheMembershipThatEnds(t *testing.T) {
	simulate(t, nil, func(t *testing.T, w *reconcilerWorld) {
		require.NoError(t, w.store.SaveMembership(w.membership()))
		w.siblings.state = w.shared()
		require.True(t, w.runner.command.TryLock())
		require.NoError(t, w.runner.change(t.Context(), leaving, func() error {
			_, err := w.Recover(t.Context(), RecoverRequest{})
			assert.Equal(t, refusals.CodeBusy, codeOf(err), "recover")
			for _, stage := range []string{"the membership is on disk", "the membership is forgotten"} {
				assert.Equal(t, refusals.CodeBusy, codeOf(w.Leave(t.Context(), LeaveOptions{}, noProgress)), "leave, %s", stage)
				assert.Equal(t, refusals.CodeBusy, codeOf(w.Leave(t.Context(), LeaveOptions{Force: true}, noProgress)), "leave --force, %s", stage)
				assert.NoError(t, w.store.ClearMembership())
			}
			return nil
		}))
		assert.NotNil(t, w.siblings.state.Membership, "the datacenter stays a member")
	})
}

func TestLeaveDuringARecoveryDoesNotEndTheMembershipOfTheDatacenter(t *testing.T) {
	simulate(t, nil, func(t *testing.T, w *reconcilerWorld) {
		require.NoError(t, w.store.SaveMembership(w.membership()))
		w.siblings.state = w.shared()
		require.True(t, w.runner.command.TryLock())
		require.NoError(t, w.runner.change(t.Context(), joining, func() error {
			assert.Equal(t, refusals.CodeBusy, codeOf(w.Leave(t.Context(), LeaveOptions{Force: true}, noProgress)))
			return nil
		}))
		assert.NotNil(t, w.siblings.state.Membership)
	})
}

func TestANewCAIsOnlyAnnouncedInTheMembershipThatRuns(t *testing.T) {
	simulate(t, nil, func(t *testing.T, w *reconcilerWorld) {
		assert.NotEmpty(t, codeOf(w.announceCA(t.Context(), w.member, noProgress)), "it ended while the command began")
		assert.False(t, w.runner.busy())
	})
}
