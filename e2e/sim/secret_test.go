package sim

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"sync"

	"github.com/meshway/meshway/agent/identity"
	"github.com/meshway/meshway/agent/membership"
)

// secret holds the shared state of the gateways of a datacenter and the list of
// hosts that are labelled as gateways.
type secret struct {
	mu          sync.Mutex // guards all following fields
	version     int
	content     identity.SharedState
	hosts       []string
	unavailable bool // the API server does not answer
	changed     chan struct{}
}

var _ membership.Siblings = (*secret)(nil)

func newSecret(hosts ...string) *secret {
	return &secret{hosts: hosts, changed: make(chan struct{})}
}

// Current implements membership.Siblings. It works while the API server is
// unavailable, as from a cache.
func (s *secret) Current() (identity.SharedState, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.content
	c.Version = strconv.Itoa(s.version)
	return c, nil
}

// Changed implements membership.Siblings.
func (s *secret) Changed() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.changed
}

// Save implements membership.Siblings.
func (s *secret) Save(_ context.Context, c identity.SharedState) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.unavailable {
		return errors.New("connection refused")
	}
	if c.Version != strconv.Itoa(s.version) {
		return identity.ErrOutdated
	}
	s.content = c
	s.version++
	s.notifyChange()
	return nil
}

// Gateways implements membership.Siblings.
func (s *secret) Gateways() ([]string, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.hosts), true // from a cache, even while the API server is unavailable
}

// ReadGateways implements membership.Siblings.
func (s *secret) ReadGateways(context.Context) ([]string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.unavailable {
		return nil, errors.New("connection refused")
	}
	return slices.Clone(s.hosts), nil
}

// setGateways replaces the list of hosts that are labelled as gateways.
func (s *secret) setGateways(hosts ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hosts = hosts
	s.notifyChange()
}

func (s *secret) setUnavailable(unavailable bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unavailable = unavailable
	s.notifyChange()
}

// notifyChange wakes those that wait for a change. The caller holds s.mu.
func (s *secret) notifyChange() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// writes returns the number of successful calls of Save.
func (s *secret) writes() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.version
}

// gateway starts a gateway of a datacenter whose prefixes contain number. Its
// underlay address contains host.
func (sim *simulation) gateway(dc string, number byte, name string, host byte, shared *secret) *gateway {
	cfg := configOf(sim.t, dc, number)
	cfg.Gateway = name
	g := newGateway(sim, dc+"-"+name, cfg, underlayOf(host))
	g.siblings = shared
	sim.add(g)
	return g
}
