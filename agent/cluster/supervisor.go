package cluster

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/meshway/meshway/agent/dataplane"
	"github.com/meshway/meshway/agent/identity"
	"github.com/meshway/meshway/agent/kube"
	"github.com/meshway/meshway/agent/membership"
)

const (
	// roleTimeout is how long an agent that has never run on this node waits for
	// the API server before it logs a warning.
	roleTimeout = 10 * time.Second
	// demoteTimeout is shorter than the grace period of a pod that is deleted.
	demoteTimeout = 20 * time.Second
	// readTimeout bounds the reading of the role when the agent ends.
	readTimeout = 2 * time.Second
)

// Roles reports whether this node is a gateway (kube.RoleWatcher).
type Roles interface {
	Current() kube.Role
	Changed() <-chan struct{} // closed at the next change of Current
	// Read reads the role now.
	Read(ctx context.Context) (kube.Role, error)
}

// Uninstallation reports whether the chart is being uninstalled
// (kube.UninstallWatcher).
type Uninstallation interface {
	Current() bool
	Changed() <-chan struct{} // closed at the next change of Current
	// Acknowledge gives the uninstallation more time to start than a cluster without
	// agents has. Only gateways have the right to.
	Acknowledge(ctx context.Context) error
}

// Config configures a Supervisor. All fields are required.
type Config struct {
	Roles          Roles
	Uninstallation Uninstallation
	Identity       *identity.Store
	// RunGateway runs the agent of a gateway until ctx ends. It calls started once
	// with the agent.
	RunGateway func(ctx context.Context, started func(*membership.Agent)) error
	// RunNode runs the agent of a node until ctx ends.
	RunNode func(ctx context.Context) error
	// Host is what an uninstallation removes from this host.
	Host HostCleanup
	// ServeUninstalled serves the health checks after that, until ctx ends.
	ServeUninstalled func(ctx context.Context) error
	Node, Label      string // for messages: the name of the Node and the gateway label
	Log              *slog.Logger
}

// HostCleanup is what is removed from a host when the chart is uninstalled.
type HostCleanup struct {
	Kernel  func(ctx context.Context) (dataplane.Kernel, error) // of every kind that the host may have
	Table   int                                                 // of the routes
	Socket  string
	DataDir string // its content
}

// Supervisor runs the agent in the role of this node.
type Supervisor struct {
	cfg    Config
	active atomic.Pointer[membership.Agent] // the agent of the gateway that runs; nil: none
}

// NewSupervisor returns a supervisor that does nothing until it runs.
func NewSupervisor(cfg Config) *Supervisor { return &Supervisor{cfg: cfg} }

// Run follows the role of the node without a restart until ctx ends, and cleans
// up the node when the chart is uninstalled. It returns nil if an uninstallation
// is cancelled after that, so that the agent starts again.
func (s *Supervisor) Run(ctx context.Context) error {
	err := followRole(ctx, s.cfg.Roles, s.demote, s.runRole)
	if errors.Is(err, errUninstalled) {
		return s.uninstall(ctx)
	}
	return err
}

// followRole runs the role of the node. When the role changes, demote is called,
// and the former role ends before the next one starts. The data plane stays
// meanwhile and is adopted by what runs next. A role runs until demote has returned
// even if ctx ends: Kubernetes deletes the pod of a gateway whose label is removed,
// possibly before the change of the role is observed.
func followRole(ctx context.Context, roles Roles, demote func(context.Context, kube.Role), run func(context.Context, kube.Role) error) error {
	for ctx.Err() == nil {
		changed, role := roles.Changed(), roles.Current()
		roleCtx, stop := context.WithCancel(context.WithoutCancel(ctx))
		ended := make(chan error, 1)
		go func() { ended <- run(roleCtx, role) }()
		select {
		case <-ctx.Done():
			if role == kube.RoleGateway {
				demote(roleCtx, readRole(roleCtx, roles, role))
			}
			stop()
			return <-ended
		case <-changed:
			demote(roleCtx, roles.Current())
			stop()
			if err := <-ended; err != nil {
				return err
			}
		case err := <-ended:
			stop()
			return err
		}
	}
	return nil
}

// readRole reads the role, or returns a default if that fails.
func readRole(ctx context.Context, roles Roles, fallback kube.Role) kube.Role {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	role, err := roles.Read(ctx)
	if err != nil {
		return fallback
	}
	return role
}

// runRole runs a role until ctx ends, or returns errUninstalled when the chart
// is being uninstalled.
func (s *Supervisor) runRole(ctx context.Context, role kube.Role) error {
	group, ctx := errgroup.WithContext(ctx)
	started := make(chan *membership.Agent, 1) // of a gateway; closed: the role has none
	switch role {
	case kube.RoleGateway:
		group.Go(func() error {
			defer s.active.Store(nil)
			return s.cfg.RunGateway(ctx, func(a *membership.Agent) {
				s.active.Store(a)
				started <- a
			})
		})
	case kube.RoleNode:
		close(started)
		group.Go(func() error { return s.cfg.RunNode(ctx) })
	case kube.RoleUnknown:
		close(started)
		warning := time.AfterFunc(roleTimeout, func() {
			s.cfg.Log.Warn("waiting for the API server to read the role of this node", "node", s.cfg.Node, "label", s.cfg.Label)
		})
		defer warning.Stop()
	}
	group.Go(func() error {
		if !awaitUninstallation(ctx, s.cfg.Uninstallation) {
			return nil
		}
		if role == kube.RoleGateway {
			if err := s.cfg.Uninstallation.Acknowledge(ctx); err != nil {
				s.cfg.Log.Warn("failed to acknowledge the uninstallation, which may fail although this agent cleans up", "err", err)
			}
		}
		// A gateway that starts during the uninstallation can be a member.
		select {
		case <-ctx.Done():
			return nil
		case a := <-started:
			if a != nil {
				s.leave(ctx, a)
			}
		}
		return errUninstalled
	})
	return group.Wait()
}

// demote removes a gateway whose node is no longer labelled from the catalog.
func (s *Supervisor) demote(ctx context.Context, next kube.Role) {
	a := s.active.Load()
	if a == nil || next != kube.RoleNode {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, demoteTimeout)
	defer cancel()
	if err := a.Demote(ctx); err != nil {
		s.cfg.Log.Warn("failed to remove this gateway from the catalog; another gateway will remove it within a minute", "err", err)
	}
}
