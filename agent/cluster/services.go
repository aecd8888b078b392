package cluster

import (
	"context"
	"log/slog"
	"time"

	"github.com/meshway/meshway/agent/kube"
	"github.com/meshway/meshway/agent/kube/mcs/controller"
	"github.com/meshway/meshway/agent/member"
	"github.com/meshway/meshway/agent/membership"
	"github.com/meshway/meshway/agent/plan"
)

// removeTimeout bounds the removal of the imports after the datacenter has left.
const removeTimeout = 20 * time.Second

// Services exports and imports services while this gateway is a member. Its
// fields are those of controller.Config that do not depend on the membership.
type Services struct {
	Controller controller.Config
	Clients    kube.Clients
	Agent      *membership.Agent
	Log        *slog.Logger
}

// Run starts a controller for each membership, until ctx ends.
func (s Services) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		changed := s.Agent.Changed()
		if m, err := s.Agent.Member(); err == nil {
			if err := s.runFor(ctx, m); err != nil {
				return err
			}
			continue
		}
		select {
		case <-ctx.Done():
		case <-changed:
		}
	}
	return nil
}

// runFor runs a controller until ctx or the membership ends.
func (s Services) runFor(ctx context.Context, m *member.Member) error {
	cfg := s.Controller
	cfg.Catalog, cfg.Outage = m, (&outageMonitor{reachability: s.Agent.Reachability}).current
	services, err := controller.New(cfg)
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- services.Run(ctx) }()
	for {
		changed := s.Agent.Changed()
		if current, err := s.Agent.Member(); err != nil || current != m {
			stop()
			err := <-ended
			s.removeImports(ctx)
			return err
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
// they stay.
func (s Services) removeImports(ctx context.Context) {
	if s.Agent.Reachability().State != plan.NotMember {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), removeTimeout)
	defer cancel()
	if err := controller.Remove(ctx, s.Clients.Kubernetes, s.Clients.MCS); err != nil {
		s.Log.Error("failed to remove the imported services", "err", err)
	}
}
