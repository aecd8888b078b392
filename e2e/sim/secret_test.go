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

// secret is what the gateways of one datacenter have in common, and the cluster
// that says which hosts are gateways.
type secret struct {
	mu      sync.Mutex // guards all following fields
	version int
	content identity.SharedState
	hosts   []string
	away    bool // the API server does not answer
	changed chan struct{}
}

var _ membership.Siblings = (*secret)(nil)

func newSecret(hosts ...string) *secret {
	return &secret{hosts: hosts, changed: make(chan struct{})}
}

// Current implements membership.Siblings. What was read before stays known.
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
	if s.away {
		return errors.New("connection refused")
	}
	if c.Version != strconv.Itoa(s.version) {
		return identity.ErrOutdated
	}
	s.content = c
	s.version++
	s.announce()
	return nil
}

// Gateways implements membership.Siblings.
func (s *secret) Gateways() ([]string, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.hosts), true // a watch that is cut keeps what it heard
}

// ReadGateways implements membership.Siblings.
func (s *secret) ReadGateways(context.Context) ([]string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.away {
		return nil, errors.New("connection refused")
	}
	return slices.Clone(s.hosts), nil
}

// label says which hosts are gateways from now on.
func (s *secret) label(hosts ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hosts = hosts
	s.announce()
}

func (s *secret) setAway(away bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.away = away
	s.announce()
}

// announce tells of a change; s.mu is held.
func (s *secret) announce() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// writes counts what was saved.
func (s *secret) writes() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.version
}

// gateway starts a gateway on a host of its own, of the datacenter whose
// prefixes are made of number; host is its address too.
func (w *world) gateway(dc string, number byte, name string, host byte, shared *secret) *site {
	cfg := siteConfig(w.t, dc, number)
	cfg.Gateway = name
	s := newSite(w, dc+"-"+name, cfg, underlayOf(host))
	s.siblings = shared
	w.add(s)
	return s
}
