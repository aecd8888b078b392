package cluster

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"

	"github.com/meshway/meshway/agent/member"
	"github.com/meshway/meshway/agent/notify"
	"github.com/meshway/meshway/agent/plan"
)

// testMemberships is an agent whose membership the test sets.
type testMemberships struct {
	changed notify.Broadcast

	mu     sync.Mutex // guards all following fields
	member *member.Member
	state  plan.MembershipState
}

func (m *testMemberships) set(current *member.Member, state plan.MembershipState) {
	m.mu.Lock()
	m.member, m.state = current, state
	m.mu.Unlock()
	m.changed.Notify()
	synctest.Wait()
}

func (m *testMemberships) Member() (*member.Member, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.member == nil {
		return nil, errors.New("not a member")
	}
	return m.member, nil
}

func (m *testMemberships) Reachability() plan.Reachability {
	m.mu.Lock()
	defer m.mu.Unlock()
	return plan.Reachability{State: m.state}
}

func (m *testMemberships) Changed() <-chan struct{} { return m.changed.Changed() }

// runImports runs an importLifecycle in the current bubble, and returns what it
// did since the last call.
func runImports(t *testing.T, agent *testMemberships) (took func() []string, stop func()) {
	t.Helper()
	var j journal
	l := importLifecycle{
		agent: agent,
		serve: func(ctx context.Context, _ *member.Member) error {
			j.add("serve")
			<-ctx.Done()
			j.add("stop")
			return nil
		},
		remove: func(context.Context) error { j.add("remove"); return nil },
		log:    slog.New(slog.DiscardHandler),
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- l.run(ctx) }()
	synctest.Wait()
	return j.take, func() {
		cancel()
		synctest.Wait()
		assert.NoError(t, <-ended)
	}
}

func TestImportsAreRemovedAfterALeaveThatIsPublishedInSteps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		agent := &testMemberships{state: plan.NotMember}
		took, stop := runImports(t, agent)
		defer stop()
		agent.set(new(member.Member), plan.IsMember)
		assert.Equal(t, []string{"serve"}, took())
		agent.set(nil, plan.MembershipChanging)
		assert.Equal(t, []string{"stop"}, took(), "the membership may begin again")
		agent.set(nil, plan.NotMember)
		assert.Equal(t, []string{"remove"}, took())
		agent.set(nil, plan.NotMember)
		assert.Empty(t, took(), "once")
	})
}

func TestImportsStayWhileTheDatacenterIsAMember(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		agent := &testMemberships{state: plan.NotMember}
		took, stop := runImports(t, agent)
		agent.set(nil, plan.NotMember)
		assert.Empty(t, took(), "imports of another gateway are not removed at the start")
		agent.set(new(member.Member), plan.IsMember)
		agent.set(nil, plan.MembershipChanging)
		agent.set(new(member.Member), plan.IsMember)
		assert.Equal(t, []string{"serve", "stop", "serve"}, took())
		stop()
		assert.Equal(t, []string{"stop"}, took(), "the agent stops")
	})
}
