package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/agent/status"
	"github.com/meshway/meshway/agent/wake"
	"github.com/meshway/meshway/consensus/catalog"
)

const (
	// antiEntropyInterval heals what nobody told us of.
	antiEntropyInterval = 30 * time.Second
	// retryInterval is how long a write waits that found no leader.
	retryInterval = time.Second
	// proposeTimeout bounds one write, of which an operator waits for the answer.
	proposeTimeout = 10 * time.Second
)

// Registrations keeps a gateway's own registrations over restarts.
type Registrations interface {
	Load() ([]catalog.Service, error)
	Save(services []catalog.Service) error
}

// registrar makes the catalog say of this gateway what it should
// (anti-entropy). What finds no leader stays on disk until there is one.
type registrar struct {
	federation Federation
	disk       Registrations
	static     []catalog.Service // of the configuration file
	log        *slog.Logger
	wake       wake.One

	mu       sync.Mutex // guards all following
	want     registrations
	dynamic  []catalog.Service // of meshctl: what is on disk
	waiting  time.Time         // since when something has been pending; zero: nothing is
	problems []plan.Problem
}

// load reads the registrations of before the restart.
func (r *registrar) load() error {
	services, err := r.disk.Load()
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.dynamic = services
	r.want.services = r.services()
	return nil
}

// Run repairs the catalog whenever it or the registrations change.
func (r *registrar) Run(ctx context.Context) error {
	for {
		changed := r.federation.Changed()
		pause := r.repair(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		case <-r.wake:
		case <-time.After(pause):
		}
	}
}

// repair writes what is missing and returns how long to wait for the next try.
func (r *registrar) repair(ctx context.Context) time.Duration {
	r.mu.Lock()
	want := r.want
	r.mu.Unlock()
	commands := want.missing(r.federation.View())
	if len(commands) == 0 {
		r.settle(nil)
		return antiEntropyInterval
	}
	ctx, cancel := context.WithTimeout(ctx, proposeTimeout)
	defer cancel()
	results, err := r.federation.Propose(ctx, commands...)
	if err != nil {
		r.log.Debug("registrations wait", "pending", len(commands), "err", err)
		return retryInterval
	}
	var problems []plan.Problem
	for _, result := range results {
		if result.Refusal != nil {
			problems = append(problems, refused(result.Refusal))
		}
	}
	r.settle(problems)
	if len(problems) > 0 {
		return antiEntropyInterval
	}
	return retryInterval
}

func refused(refusal *catalog.Refusal) plan.Problem {
	return plan.Problem{
		Code: "registration-refused", Severity: plan.Error, Subject: refusal.Field,
		Message: "the catalog refuses a registration of this gateway: " + refusal.Message,
		Remedy:  refusal.Remedy,
	}
}

func (r *registrar) settle(problems []plan.Problem) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !slices.Equal(r.problems, problems) {
		for _, p := range problems {
			r.log.Warn(p.Message, "remedy", p.Remedy)
		}
	}
	r.problems = problems
}

// state returns what waits for a leader, and what the catalog refuses.
func (r *registrar) state() (status.Queue, []plan.Problem) {
	r.mu.Lock()
	defer r.mu.Unlock()
	pending := len(r.want.missing(r.federation.View())) - len(r.problems)
	switch {
	case pending <= 0:
		r.waiting = time.Time{}
		return status.Queue{}, r.problems
	case r.waiting.IsZero():
		r.waiting = time.Now()
	}
	return status.Queue{Pending: pending, Since: r.waiting}, r.problems
}

// describe sets what the catalog has to say of the gateway and its prefixes.
func (r *registrar) describe(gateway catalog.Gateway, prefixes []catalog.Prefix) {
	r.mu.Lock()
	changed := !sameGateway(r.want.gateway, gateway) || !slices.Equal(r.want.prefixes, prefixes)
	r.want.gateway, r.want.prefixes = gateway, prefixes
	r.mu.Unlock()
	if changed {
		r.wake.Up()
	}
}

// observe sets under which endpoints the other gateways are seen.
func (r *registrar) observe(observations []catalog.Observation) {
	r.mu.Lock()
	changed := !slices.Equal(r.want.observations, observations)
	r.want.observations = observations
	r.mu.Unlock()
	if changed {
		r.wake.Up()
	}
}

// register adds a service, or replaces it. Without a leader it is queued; if
// the catalog refuses it, nothing has changed.
func (r *registrar) register(ctx context.Context, service catalog.Service) (index uint64, queued bool, err error) {
	before, err := r.replace(func(services []catalog.Service) []catalog.Service {
		services = slices.DeleteFunc(services, func(s catalog.Service) bool { return s.ServiceKey == service.ServiceKey })
		return append(services, service)
	})
	if err != nil {
		return 0, false, err
	}
	ctx, cancel := context.WithTimeout(ctx, proposeTimeout)
	defer cancel()
	results, err := r.federation.Propose(ctx, catalog.NewPutServices([]catalog.Service{service}))
	if err != nil {
		return 0, true, r.queued(err)
	}
	if refusal := results[0].Refusal; refusal != nil {
		_, err := r.replace(func([]catalog.Service) []catalog.Service { return before })
		return 0, false, errors.Join(refusal, err)
	}
	return results[0].Index, false, nil
}

// deregister removes the services that match key; an empty instance matches all.
func (r *registrar) deregister(ctx context.Context, key catalog.ServiceKey) (removed int, queued bool, err error) {
	var gone []catalog.ServiceKey
	_, err = r.replace(func(services []catalog.Service) []catalog.Service {
		return slices.DeleteFunc(services, func(s catalog.Service) bool {
			match := s.Namespace == key.Namespace && s.Name == key.Name && (key.Instance == "" || s.Instance == key.Instance)
			if match {
				gone = append(gone, s.ServiceKey)
			}
			return match
		})
	})
	if err != nil || len(gone) == 0 {
		return 0, false, err
	}
	ctx, cancel := context.WithTimeout(ctx, proposeTimeout)
	defer cancel()
	results, err := r.federation.Propose(ctx, catalog.NewDeleteServices(gone))
	if err != nil {
		return len(gone), true, r.queued(err)
	}
	if refusal := results[0].Refusal; refusal != nil {
		return 0, false, refusal
	}
	return len(gone), false, nil
}

// queued says whether a failed write waits (nil) or is an error.
func (r *registrar) queued(err error) error {
	r.wake.Up()
	if errors.Is(err, ErrNoLeader) || errors.Is(err, context.DeadlineExceeded) {
		return nil
	}
	return err
}

// replace changes the registrations on disk, then in memory.
func (r *registrar) replace(change func([]catalog.Service) []catalog.Service) (before []catalog.Service, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	before = r.dynamic
	after := change(slices.Clone(before))
	if err := r.disk.Save(after); err != nil {
		return before, fmt.Errorf("keep registration: %w", err)
	}
	r.dynamic = after
	r.want.services = r.services()
	return before, nil
}

// services merges both sources; what meshctl registered wins.
func (r *registrar) services() []catalog.Service {
	merged := map[catalog.ServiceKey]catalog.Service{}
	for _, s := range slices.Concat(r.static, r.dynamic) {
		merged[s.ServiceKey] = s
	}
	var services []catalog.Service
	for _, s := range merged {
		services = append(services, s)
	}
	slices.SortFunc(services, func(a, b catalog.Service) int { return compareServiceKeys(a.ServiceKey, b.ServiceKey) })
	return services
}
