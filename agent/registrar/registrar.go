// Package registrar writes into the catalog what it should contain about one
// gateway: its addresses and prefixes, the endpoints under which it observes
// others, and its services. Desired minus catalog is a list of commands.
// Registrations stay on disk until a leader has written them.
package registrar

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/meshway/meshway/agent/config"
	"github.com/meshway/meshway/agent/notify"
	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/consensus"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/catalogpb"
	"github.com/meshway/meshway/consensus/catalog/replica"
)

const (
	// antiEntropyInterval bounds the time between two comparisons.
	antiEntropyInterval = 30 * time.Second
	// retryInterval is the time after which a write that found no leader is tried again.
	retryInterval = time.Second
	// ProposeTimeout bounds one write while a caller waits for its result.
	ProposeTimeout = 10 * time.Second
)

// Catalog is the part of the replicated catalog that a registrar uses.
type Catalog interface {
	// View returns the newest local state.
	View() *replica.View
	// Changed returns a channel that is closed at the next change of View.
	Changed() <-chan struct{}
	// Read returns a view that is as current as mode requires.
	Read(ctx context.Context, mode consensus.ReadMode) (*replica.View, consensus.Freshness, error)
	// Propose writes commands; errors.Is(err, consensus.ErrNoLeader) if no leader
	// was found in time.
	Propose(ctx context.Context, commands ...*catalogpb.Command) ([]catalog.Result, error)
}

// Store keeps the registered services over restarts.
type Store interface {
	// Load returns found false, and no error, if nothing is stored.
	Load() (services []catalog.Service, found bool, err error)
	// Save replaces the stored services.
	Save(services []catalog.Service) error
}

// Signer signs the records of this gateway and its datacenter.
type Signer interface {
	// Unsigned reports which of both records need a signature of this gateway.
	Unsigned(v *replica.View) (gateway, datacenter bool)
	// Sign signs the records in the commands.
	Sign(v *replica.View, commands []*catalogpb.Command) error
}

// Config configures a Registrar.
type Config struct {
	File    config.Config
	Catalog Catalog
	Signer  Signer
	Store   Store
	Log     *slog.Logger
}

// Registrar keeps the catalog equal to what is desired for one gateway.
type Registrar struct {
	cfg    Config
	static []catalog.Service // from the configuration file
	wake   notify.Signal
	saves  saves

	sections *sections
	passing  chan struct{} // size 1; full while a pass runs

	former      []*catalogpb.Command // without effect in the last write, or all of it; only pass uses it
	retryFormer time.Time            // when they are written again; only pass uses it

	mu         sync.Mutex // guards all following
	want       Desired
	registered []catalog.Service // through Register; equal to what the store has
	writing    writing           // keys of services that callers write now
	pending    time.Time         // since when commands are outstanding; zero: none are
	problems   []plan.Problem
}

// Open returns a registrar with the services that the store holds.
func Open(cfg Config) (*Registrar, error) {
	r := &Registrar{cfg: cfg, wake: notify.NewSignal(), sections: newSections(), passing: make(chan struct{}, 1)}
	for _, s := range cfg.File.Services {
		r.static = append(r.static, r.complete(s))
	}
	services, _, err := cfg.Store.Load()
	if err != nil {
		return nil, err
	}
	r.registered = services
	r.want.Services = r.services()
	return r, nil
}

// Run writes what the catalog lacks until ctx ends.
func (r *Registrar) Run(ctx context.Context) error {
	notify.Loop(ctx, r.pass, r.cfg.Catalog.Changed, r.wake.Changed)
	return nil
}

// pass writes what is missing and returns the time until the next comparison.
func (r *Registrar) pass(ctx context.Context) time.Duration {
	r.passing <- struct{}{}
	defer func() { <-r.passing }()
	r.mu.Lock()
	want := r.want
	want.Writing = r.writing.keys()
	r.mu.Unlock()
	view := r.cfg.Catalog.View()
	commands := r.missing(want, view)
	if len(commands) == 0 {
		r.setProblems(nil)
		return antiEntropyInterval
	}
	// A write without effect is a change of the catalog too: without the delay it
	// would cause the next one at once.
	if left := time.Until(r.retryFormer); left > 0 && slices.EqualFunc(commands, r.former, equalCommands) {
		return left
	}
	written := cloneCommands(commands) // without signature and author
	if err := r.cfg.Signer.Sign(view, commands); err != nil {
		r.cfg.Log.Error("failed to sign the records of this gateway", "err", err)
		return antiEntropyInterval
	}
	ctx, cancel := context.WithTimeout(ctx, ProposeTimeout)
	defer cancel()
	results, err := r.cfg.Catalog.Propose(ctx, commands...)
	if err != nil {
		r.cfg.Log.Debug("failed to write registrations to the catalog", "pending", len(commands), "err", err)
		return retryInterval
	}
	var problems []plan.Problem
	r.former, r.retryFormer = written, time.Now().Add(retryInterval)
	for i, result := range results {
		if result.Refusal == nil {
			continue
		}
		if len(problems) == 0 {
			r.former, r.retryFormer = nil, time.Now().Add(antiEntropyInterval)
		}
		problems = append(problems, refusedProblem(result.Refusal))
		r.former = append(r.former, written[i])
	}
	r.setProblems(problems)
	if len(problems) > 0 {
		return antiEntropyInterval
	}
	return retryInterval
}

// missing returns the commands that the catalog lacks, with records that are not
// signed yet.
func (r *Registrar) missing(want Desired, v *replica.View) []*catalogpb.Command {
	gateway, datacenter := r.cfg.Signer.Unsigned(v)
	return want.Missing(v, Unsigned{Gateway: gateway, Datacenter: datacenter})
}

func cloneCommands(commands []*catalogpb.Command) []*catalogpb.Command {
	var clones []*catalogpb.Command
	for _, c := range commands {
		clones = append(clones, proto.CloneOf(c))
	}
	return clones
}

func equalCommands(a, b *catalogpb.Command) bool { return proto.Equal(a, b) }

func refusedProblem(refusal *catalog.Refusal) plan.Problem {
	return plan.Problem{
		Code:     "registration-refused",
		Severity: plan.Error,
		Subject:  refusal.Field,
		Message:  "the catalog refuses a registration of this gateway: " + refusal.Message,
		Remedy:   refusal.Remedy,
	}
}

func (r *Registrar) setProblems(problems []plan.Problem) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !slices.Equal(r.problems, problems) {
		for _, p := range problems {
			r.cfg.Log.Warn(p.Message, "code", p.Code, "subject", p.Subject, "remedy", p.Remedy)
		}
	}
	r.problems = problems
}

// Queue returns how many commands are outstanding and since when, and the
// registrations that the catalog refuses.
func (r *Registrar) Queue() (pending int, since time.Time, refused []plan.Problem) {
	r.mu.Lock()
	defer r.mu.Unlock()
	want := r.want
	want.Writing = r.writing.keys()
	pending = len(r.missing(want, r.cfg.Catalog.View())) - len(r.problems)
	switch {
	case pending <= 0:
		r.pending = time.Time{}
		return 0, time.Time{}, r.problems
	case r.pending.IsZero():
		r.pending = time.Now()
	}
	return pending, r.pending, r.problems
}

// SignAgain compares the signatures with the CA of the datacenter, which was replaced.
func (r *Registrar) SignAgain() { r.wake.Notify() }

// Set replaces what the catalog should contain about the gateway, other than its
// services. While the record of the gateway is not known, the former one stays.
func (r *Registrar) Set(desired plan.Registration) {
	r.mu.Lock()
	changed := !slices.Equal(r.want.Observations, desired.Observations)
	r.want.Observations = desired.Observations
	if desired.Known {
		changed = changed || !sameGateway(r.want.Gateway, desired.Gateway) || !slices.Equal(r.want.Prefixes, desired.Prefixes)
		r.want.Gateway, r.want.Prefixes = desired.Gateway, desired.Prefixes
	}
	r.mu.Unlock()
	if changed {
		r.wake.Notify()
	}
}

// Register adds or replaces a service of this gateway and returns the index of
// the write. Without a leader the write is queued. A refusal is returned as
// *catalog.Refusal and changes nothing.
func (r *Registrar) Register(ctx context.Context, service catalog.Service) (index uint64, queued bool, err error) {
	service = r.complete(service)
	leave, err := r.sections.enter(ctx, service.Namespace, service.Name, shared)
	if err != nil {
		return 0, false, err
	}
	defer leave()
	end := r.beginWrite(service.ServiceKey)
	var former []catalog.Service // that the service replaces; empty: it is new
	err = r.replace(func(services []catalog.Service) []catalog.Service {
		i := indexOf(services, service.ServiceKey)
		if i < 0 {
			return append(services, service)
		}
		former = []catalog.Service{services[i]}
		services[i] = service
		return services
	})
	if err != nil {
		end()
		return 0, false, err
	}
	ctx, cancel := context.WithTimeout(ctx, ProposeTimeout)
	defer cancel()
	results, err := r.cfg.Catalog.Propose(ctx, catalog.NewPutServices([]catalog.Service{service}))
	end()
	if err != nil {
		return 0, true, r.queued(err)
	}
	if refusal := results[0].Refusal; refusal != nil {
		return 0, false, errors.Join(refusal, r.revert(service, former))
	}
	return results[0].Index, false, nil
}

// revert undoes the registration of a service that the catalog refused. All
// other changes since then stay, also a newer registration of the same service.
func (r *Registrar) revert(refused catalog.Service, former []catalog.Service) error {
	return r.replace(func(services []catalog.Service) []catalog.Service {
		i := indexOf(services, refused.ServiceKey)
		if i < 0 || !sameService(services[i], refused) {
			return services
		}
		return slices.Replace(services, i, i+1, former...)
	})
}

func indexOf(services []catalog.Service, key catalog.ServiceKey) int {
	return slices.IndexFunc(services, func(s catalog.Service) bool { return s.ServiceKey == key })
}

// Deregister removes what this gateway registered under a name and returns how
// many instances that were; an empty instance matches all.
func (r *Registrar) Deregister(ctx context.Context, namespace, name, instance string) (removed int, queued bool, err error) {
	key := r.complete(catalog.Service{ServiceKey: catalog.ServiceKey{Namespace: namespace, Name: name}}).ServiceKey
	leave, err := r.sections.enter(ctx, key.Namespace, key.Name, shared)
	if err != nil {
		return 0, false, err
	}
	defer leave()
	var obsolete []catalog.ServiceKey
	err = r.replace(func(services []catalog.Service) []catalog.Service {
		return slices.DeleteFunc(services, func(s catalog.Service) bool {
			match := s.Namespace == key.Namespace && s.Name == key.Name && (instance == "" || s.Instance == instance)
			if match {
				obsolete = append(obsolete, s.ServiceKey)
			}
			return match
		})
	})
	if err != nil || len(obsolete) == 0 {
		return 0, false, err
	}
	ctx, cancel := context.WithTimeout(ctx, ProposeTimeout)
	defer cancel()
	end := r.beginWrite(obsolete...)
	results, err := r.cfg.Catalog.Propose(ctx, catalog.NewDeleteServices(obsolete))
	end()
	if err != nil {
		return len(obsolete), true, r.queued(err)
	}
	if refusal := results[0].Refusal; refusal != nil {
		return 0, false, refusal
	}
	return len(obsolete), false, nil
}

// queued returns nil if a failed write will be retried, and err otherwise.
func (r *Registrar) queued(err error) error {
	r.wake.Notify()
	if errors.Is(err, consensus.ErrNoLeader) || errors.Is(err, context.DeadlineExceeded) {
		return nil
	}
	return err
}

// services merges both sources by key. A registered service replaces one of
// the configuration file.
func (r *Registrar) services() []catalog.Service {
	merged := map[catalog.ServiceKey]catalog.Service{}
	for _, s := range slices.Concat(r.static, r.registered) {
		merged[s.ServiceKey] = s
	}
	var services []catalog.Service
	for _, s := range merged {
		services = append(services, s)
	}
	slices.SortFunc(services, func(a, b catalog.Service) int { return compareServiceKeys(a.ServiceKey, b.ServiceKey) })
	return services
}

// complete sets what a registration leaves out: its owner, the default
// namespace, and an instance name made of the address, so that a registration
// with another address adds an instance.
func (r *Registrar) complete(s catalog.Service) catalog.Service {
	s.Datacenter, s.Owner = r.cfg.File.Datacenter, r.cfg.File.GatewayID()
	if s.Namespace == "" {
		s.Namespace = "default"
	}
	if s.Instance == "" && s.Address.IsValid() {
		s.Instance = "a-" + strings.NewReplacer(".", "-", ":", "-").Replace(s.Address.StringExpanded())
	}
	return s
}
