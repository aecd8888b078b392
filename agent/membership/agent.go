package membership

import (
	"context"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/meshway/meshway/agent/config"
	"github.com/meshway/meshway/agent/control"
	"github.com/meshway/meshway/agent/dataplane"
	"github.com/meshway/meshway/agent/identity"
	"github.com/meshway/meshway/agent/member"
	"github.com/meshway/meshway/agent/notify"
	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/agent/registrar"
	"github.com/meshway/meshway/agent/status"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/tunnel"
)

// Config configures an Agent. Fields are required unless their comment defines
// nil.
type Config struct {
	File        config.Config
	Key         tunnel.PrivateKey
	Identity    *identity.Store
	Sockets     func(overlay func() netip.Prefix) control.Sockets // overlay is called at each dial: only a member has one
	Kernel      dataplane.Kernel
	NewLiveness func() dataplane.Liveness // for one membership
	NewPathMTU  func() dataplane.PathMTU  // for one membership
	Host        dataplane.Host
	Site        dataplane.Site // nil: the prefixes of the configuration file
	Siblings    Siblings       // nil: this gateway is the only one of its datacenter
	Services    registrar.Store
	DrainStore  dataplane.DrainStore   // nil: a drain ends with the agent
	Environment func() Environment     // must be fast. nil: there is none
	Token       func() (string, error) // to join without an operator; fails while there is none. nil: wait for a command
	Log         *slog.Logger           // nil: silent
}

// Environment is what is observed outside of the federation, such as in the cluster.
type Environment struct {
	Problems     []plan.Problem
	MultiCluster *status.MultiCluster // nil: unknown
}

// Agent keeps one gateway in its federation, if it is in one.
type Agent struct {
	cfg         Config
	startedAt   time.Time
	publicKey   tunnel.PublicKey
	admission   *member.Admission
	runner      *runner
	shared      *sharedState
	drain       *dataplane.Drain
	departed    *dataplane.Departed
	published   notify.Broadcast             // Status may have changed
	reconcile   notify.Signal                // a membership has begun or ended
	joinProblem atomic.Pointer[plan.Problem] // why this gateway cannot become a member without an operator
	demoted     atomic.Bool                  // this host must not become a member again
}

// New returns an agent that does nothing until it runs.
func New(cfg Config) *Agent {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Site == nil {
		cfg.Site = dataplane.StaticSite(cfg.File.Prefixes)
	}
	a := &Agent{
		cfg:       cfg,
		startedAt: time.Now(),
		publicKey: cfg.Key.Public(),
		admission: &member.Admission{File: cfg.File, Store: cfg.Identity, Sockets: cfg.Sockets, Process: member.NewProcess(), Log: cfg.Log},
		drain:     dataplane.NewDrain(cfg.DrainStore),
		reconcile: notify.NewSignal(),
	}
	a.admission.Refuse = a.refuse
	a.shared = newSharedState(cfg.File, cfg.Siblings, a.admission, cfg.Log, a.published.Notify)
	a.departed = dataplane.NewDeparted(cfg.File, cfg.Kernel, cfg.Host, cfg.Site, a.published.Notify, cfg.Log)
	a.runner = newRunner(a.open, a.departed.Run, a.reconcile.Notify, a.published.Notify)
	return a
}

// Run keeps the gateway in its federation until ctx ends. The data plane stays
// as it is when Run returns, so that a restart loses no packet.
func (a *Agent) Run(ctx context.Context) error {
	if err := a.drain.Load(); err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	opened := make(chan struct{})
	group.Go(func() error { return a.runner.run(ctx, sync.OnceFunc(func() { close(opened) })) })
	group.Go(func() error {
		select {
		case <-ctx.Done():
		case <-opened:
			newReconciler(a).run(ctx)
		}
		return nil
	})
	return group.Wait()
}

// refuse returns why this host cannot be in a federation with a datacenter that
// requests admission, or nil.
func (a *Agent) refuse(dc catalog.Datacenter, first catalog.Gateway) error {
	if r := a.runner.current(); r != nil {
		return r.gateway.RefuseDatacenter(dc, first)
	}
	return nil
}

// open returns what runs while this gateway is a member; nil: it is not.
func (a *Agent) open() (*running, error) {
	membership, ok, err := a.admission.Current()
	if err != nil || !ok {
		return nil, err
	}
	m, err := a.admission.Open()
	if err == nil && a.cfg.Kernel.Left != nil {
		err = a.cfg.Kernel.Left.Remove() // of a federation that was left before
	}
	if err != nil {
		return nil, err
	}
	reg, err := registrar.Open(registrar.Config{File: a.cfg.File, Catalog: m, Signer: m.Trust(), Store: a.cfg.Services, Log: a.cfg.Log})
	if err != nil {
		return nil, err
	}
	gateway := dataplane.NewGateway(dataplane.GatewayConfig{
		Self:      a.cfg.File.GatewayID(),
		File:      a.cfg.File,
		Key:       a.cfg.Key,
		Kernel:    a.cfg.Kernel,
		Catalog:   m,
		Trust:     m.Trust(),
		Registrar: reg,
		Liveness:  a.cfg.NewLiveness(),
		PathMTU:   a.cfg.NewPathMTU(),
		Host:      a.cfg.Host,
		Site:      a.cfg.Site,
		Drain:     a.drain,
		Published: a.published.Notify,
		Log:       a.cfg.Log,
	})
	return &running{membership: membership, member: m, registrar: reg, gateway: gateway, leaving: gateway.Leaving}, nil
}

// Member returns this gateway's part of the catalog, or a refusal with the
// remedy if it is in no federation.
func (a *Agent) Member() (*member.Member, error) {
	r := a.runner.current()
	if r == nil {
		return nil, a.notMember()
	}
	return r.member, nil
}

// Registrar returns the registrar of this gateway's services, or a refusal with
// the remedy if it is in no federation.
func (a *Agent) Registrar() (*registrar.Registrar, error) {
	r := a.runner.current()
	if r == nil {
		return nil, a.notMember()
	}
	return r.registrar, nil
}

// DatacenterIsMember reports whether the datacenter is in a federation, even if
// this gateway is not.
func (a *Agent) DatacenterIsMember() bool {
	if a.cfg.Siblings == nil {
		return a.runner.current() != nil
	}
	shared, err := a.cfg.Siblings.Current()
	return err != nil || shared.Membership != nil
}
