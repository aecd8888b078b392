// Package registrar writes into the catalog what it should contain about one
// gateway: its addresses and prefixes, the endpoints under which it observes
// others, and its services. Desired minus catalog is a list of commands.
// Registrations stay on disk until a leader has written them.
package registrar

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/meshway/meshway/agent/config"
	"github.com/meshway/meshway/agent/notify"
	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/agent/problemlog"
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
	// restPart bounds the part of the time in which the registrar compares, to 2 %: each
	// write of any gateway is a change, and a comparison costs more with more services.
	restPart = 49
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
	// Load returns what is stored.
	Load() ([]catalog.Service, error)
	// Update puts and removes services with one write. When it returns nil, all of them
	// are on the disk; after an error, all of them or none.
	Update(put []catalog.Service, remove []catalog.ServiceKey) error
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
	static map[catalog.ServiceKey]catalog.Service // from the configuration file
	wake   notify.Signal
	shared sharedWrites

	sections *sections
	passing  chan struct{} // size 1; full while a pass runs
	rest     rest

	former      []*catalogpb.Command // without effect in the last write, or all of it; only pass uses it
	retryFormer time.Time            // when they are written again; only pass uses it

	mu         sync.Mutex // guards all following
	want       Desired
	registered map[catalog.ServiceKey]catalog.Service // through Register; equal to what the store has
	writing    writing                                // keys of services that callers write now
	pending    time.Time                              // since when commands are outstanding; zero: none are
	problems   []plan.Problem
}

// rest is the time between two comparisons.
type rest struct {
	asked atomic.Bool // the next pass compares at once
	until time.Time   // from then on, a change of the catalog causes a comparison; only pass uses it
}

// Open returns a registrar with the services that the store holds.
func Open(cfg Config) (*Registrar, error) {
	r := &Registrar{
		cfg: cfg, wake: notify.NewSignal(), sections: newSections(), passing: make(chan struct{}, 1),
		static: map[catalog.ServiceKey]catalog.Service{}, registered: map[catalog.ServiceKey]catalog.Service{},
	}
	r.shared.saves.Do, r.shared.saves.Limit, r.shared.saves.AtOnce = r.saveTogether, maxTogether, 1
	r.shared.writes.Do, r.shared.writes.Limit, r.shared.writes.AtOnce = r.proposeTogether, maxTogether, 1
	for _, s := range cfg.File.Services {
		s = r.complete(s)
		r.static[s.ServiceKey] = s
	}
	services, err := cfg.Store.Load()
	if err != nil {
		return nil, err
	}
	for _, s := range services {
		r.registered[s.ServiceKey] = s
	}
	// A registered service replaces one of the configuration file.
	r.want.Services = maps.Clone(r.static)
	maps.Copy(r.want.Services, r.registered)
	return r, nil
}

// Run writes what the catalog lacks until ctx ends.
func (r *Registrar) Run(ctx context.Context) error {
	notify.Loop(ctx, r.pass, r.cfg.Catalog.Changed, r.wake.Changed)
	return nil
}

// pass writes what is missing and returns the time until the next comparison.
func (r *Registrar) pass(ctx context.Context) time.Duration {
	asked := r.rest.asked.Swap(false)
	if left := time.Until(r.rest.until); left > 0 && !asked {
		return left
	}
	r.passing <- struct{}{}
	defer func() { <-r.passing }()
	began := time.Now()
	r.mu.Lock()
	want := r.want
	want.Services, want.Writing = maps.Clone(want.Services), r.writing.keys()
	view := r.cfg.Catalog.View() // which has nothing of a write that begins later
	r.mu.Unlock()
	commands := r.missing(want, view)
	r.rest.until = time.Now().Add(restPart * time.Since(began))
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
			problemlog.Write(r.cfg.Log, slog.LevelWarn, p)
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
func (r *Registrar) SignAgain() { r.compare() }

// compare causes a comparison at once.
func (r *Registrar) compare() {
	r.rest.asked.Store(true)
	r.wake.Notify()
}

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
		r.compare()
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
	index, queued, err = r.register(ctx, service)
	end()
	if queued || err != nil {
		r.compare() // the catalog and the store may differ
	}
	return index, queued, err
}

// register writes to the store and to the catalog at the same time, and waits for both.
// What a crash leaves in one of them only was not acknowledged: the next process writes
// to the catalog what is in the store, and removes what is not.
func (r *Registrar) register(ctx context.Context, service catalog.Service) (index uint64, queued bool, err error) {
	var former *catalog.Service // that the service replaces; nil: it is new
	saved := make(chan error, 1)
	go func() {
		saved <- r.save(ctx, func(e *edit) {
			if s, found := e.get(service.ServiceKey); found {
				former = &s
			}
			e.put(service)
		})
	}()
	result, err := r.propose(ctx, catalog.NewPutServices([]catalog.Service{service}))
	if err := <-saved; err != nil {
		return 0, false, err
	}
	if err != nil {
		return 0, true, unlessQueued(err)
	}
	if result.Refusal != nil {
		return 0, false, errors.Join(result.Refusal, r.revert(ctx, service, former))
	}
	return result.Index, false, nil
}

// revert undoes the registration of a service that the catalog refused. All
// other changes since then stay, also a newer registration of the same service.
func (r *Registrar) revert(ctx context.Context, refused catalog.Service, former *catalog.Service) error {
	return r.save(ctx, func(e *edit) {
		switch s, found := e.get(refused.ServiceKey); {
		case !found || !sameService(s, refused):
		case former == nil:
			e.remove(refused.ServiceKey)
		default:
			e.put(*former)
		}
	})
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
	err = r.save(ctx, func(e *edit) {
		for _, key := range e.instances(key.Namespace, key.Name) {
			if instance == "" || key.Instance == instance {
				e.remove(key)
				obsolete = append(obsolete, key)
			}
		}
	})
	if err != nil || len(obsolete) == 0 {
		return 0, false, err
	}
	end := r.beginWrite(obsolete...)
	result, err := r.propose(ctx, catalog.NewDeleteServices(obsolete))
	end()
	if err != nil {
		r.compare()
		return len(obsolete), true, unlessQueued(err)
	}
	if result.Refusal != nil {
		return 0, false, result.Refusal
	}
	return len(obsolete), false, nil
}

// unlessQueued returns nil if a failed write will be retried, and err otherwise.
func unlessQueued(err error) error {
	if errors.Is(err, consensus.ErrNoLeader) || errors.Is(err, context.DeadlineExceeded) {
		return nil
	}
	return err
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
