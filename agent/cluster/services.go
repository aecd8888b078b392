package cluster

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/meshway/meshway/agent/kube"
	"github.com/meshway/meshway/agent/kube/mcs/controller"
	"github.com/meshway/meshway/agent/member"
	"github.com/meshway/meshway/agent/membership"
	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/agent/status"
)

// removeTimeout bounds the removal of the imports after the datacenter has left.
const removeTimeout = 20 * time.Second

// Services exports and imports services while this gateway is a member. Its
// fields are those of controller.Config that do not depend on the membership.
type Services struct {
	Controller controller.Config
	Clients    kube.Clients
	Agent      *membership.Agent
	Running    *RunningServices
	Log        *slog.Logger
}

// RunningServices has the controller that runs, for the status. The zero value is
// ready.
type RunningServices struct {
	controller atomic.Pointer[controller.Controller] // nil: none runs
}

// Current returns the state of the services, nil if it is not known.
func (r *RunningServices) Current() *status.MultiCluster {
	c := r.controller.Load()
	if c == nil {
		return nil
	}
	return c.Status()
}

// Run starts a controller for each membership, until ctx ends.
func (s Services) Run(ctx context.Context) error {
	l := importLifecycle{
		agent: s.Agent,
		serve: s.serve,
		remove: func(ctx context.Context) error {
			return controller.Remove(ctx, s.Clients.Kubernetes, s.Clients.MCS)
		},
		log: s.Log,
	}
	return l.run(ctx)
}

// serve runs the controller of one membership until ctx ends.
func (s Services) serve(ctx context.Context, m *member.Member) error {
	cfg := s.Controller
	cfg.Catalog, cfg.Outage = m, (&outageMonitor{reachability: s.Agent.Reachability}).current
	services, err := controller.New(cfg)
	if err != nil {
		return err
	}
	s.Running.controller.Store(services)
	defer s.Running.controller.Store(nil)
	return services.Run(ctx)
}

// importLifecycle ties the imports of a federation to the membership in it.
type importLifecycle struct {
	agent  memberships
	serve  func(ctx context.Context, m *member.Member) error
	remove func(ctx context.Context) error // removes all imports
	log    *slog.Logger
}

// memberships is the part of membership.Agent that the imports follow.
type memberships interface {
	Member() (*member.Member, error)
	Reachability() plan.Reachability
	Changed() <-chan struct{} // closed at the next change of both
}

// run serves one membership after the other, and removes the imports after the
// datacenter has left, until ctx ends.
func (l *importLifecycle) run(ctx context.Context) error {
	for due := false; ; { // due: a membership has ended whose imports may have to be removed
		changed := l.agent.Changed()
		if m, err := l.agent.Member(); err == nil {
			if ctx.Err() != nil {
				return nil
			}
			if err := l.serveOne(ctx, m); err != nil {
				return err
			}
			due = true
			continue
		}
		if due {
			due = l.removeImports(ctx)
		}
		if ctx.Err() != nil {
			return nil
		}
		select {
		case <-ctx.Done():
		case <-changed:
		}
	}
}

// serveOne serves m until ctx or the membership ends.
func (l *importLifecycle) serveOne(ctx context.Context, m *member.Member) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- l.serve(ctx, m) }()
	for {
		changed := l.agent.Changed()
		if current, err := l.agent.Member(); err != nil || current != m {
			stop()
			return <-ended
		}
		select {
		case <-changed:
		case err := <-ended:
			return err
		}
	}
}

// removeImports removes the imports of a federation that this datacenter has
// left. If only the agent stops, or other gateways of the cluster are members,
// they stay. It reports whether the removal remains due: a membership ends before
// the agent publishes whether the datacenter has left.
func (l *importLifecycle) removeImports(ctx context.Context) (due bool) {
	if l.agent.Reachability().State != plan.NotMember {
		return true
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), removeTimeout)
	defer cancel()
	if err := l.remove(ctx); err != nil {
		l.log.Error("failed to remove the imported services", "err", err)
	}
	return false
}
