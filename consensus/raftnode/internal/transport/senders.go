package transport

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"github.com/meshway/meshway/consensus"
	"github.com/meshway/meshway/consensus/catalog"
)

const (
	// namedLifetime is how long the report of other members about the voters counts.
	namedLifetime = time.Minute
	// admittedLifetime is how long what the member that admitted this one reported counts.
	admittedLifetime = 10 * time.Minute
	// refusedLogInterval limits the log of refused messages of one gateway.
	refusedLogInterval = time.Minute
	// maxRefused is how many counts of refused messages are kept for the gateways of one
	// datacenter. A CA can issue certificates to any number; further ones are counted together.
	maxRefused = 64
	// refusedLifetime is how long a count is kept after its last message.
	refusedLifetime = 24 * time.Hour
)

// Senders is what this member has learned, beside raft's configuration, of the members
// that may send it messages of raft, and what it has refused.
type Senders struct {
	Ask chan struct{} // size 1: an unknown sender; see Unknown

	mu         sync.Mutex // guards all following fields
	named      consensus.Electorate
	namedAt    time.Time
	admitted   consensus.Electorate
	admittedAt time.Time
	refused    map[refusedKey]*consensus.Refused
}

type refusedKey struct {
	gateway catalog.GatewayID
	code    string
}

// NewSenders returns a Senders that has learned nothing.
func NewSenders() *Senders {
	return &Senders{Ask: make(chan struct{}, 1), refused: make(map[refusedKey]*consensus.Refused)}
}

// Later returns the voters of a later configuration that other members have reported.
func (s *Senders) Later(now time.Time) consensus.Electorate {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now.Sub(s.namedAt) > namedLifetime {
		return consensus.Electorate{}
	}
	return s.named
}

// SetLater records voters that other members have reported. It reports whether others
// were recorded before.
func (s *Senders) SetLater(e consensus.Electorate, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	same := slices.EqualFunc(s.named.Voters, e.Voters, func(a, b consensus.Voter) bool { return a.ID == b.ID })
	s.named, s.namedAt = e, now
	return !same
}

// Names reports whether other members have reported that a gateway votes.
func (s *Senders) Names(id catalog.GatewayID, now time.Time) bool {
	return slices.Contains(ids(s.Later(now)), id)
}

// CA returns the certificate of the CA of a datacenter that has a vote, as other members
// report it.
func (s *Senders) CA(dc catalog.DatacenterName, now time.Time) ([]byte, bool) {
	for _, v := range s.Later(now).Voters {
		if v.ID.Datacenter() == dc && len(v.CA) > 0 {
			return v.CA, true
		}
	}
	return nil, false
}

// SetAdmitted records which gateways voted when this member was admitted, as the member
// that admitted it has reported; none: it was of an earlier build.
func (s *Senders) SetAdmitted(e consensus.Electorate, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.admitted, s.admittedAt = e, now
}

// Admitted returns the gateways that voted when this member was admitted. They count until
// it has a configuration, and not for longer than admittedLifetime: all of them may have
// left before it first ran, or be so many terms ahead.
func (s *Senders) Admitted(now time.Time) []catalog.GatewayID {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now.Sub(s.admittedAt) >= admittedLifetime {
		return nil
	}
	return ids(s.admitted)
}

// Extend adds to k what a member has learned beside its own configuration.
func (s *Senders) Extend(k Knowledge, now time.Time) Knowledge {
	later := s.Later(now)
	k.Own = k.Term
	k.Term, k.Named = max(k.Term, later.Term), ids(later)
	if len(k.Configuration.Servers) > 0 {
		return k
	}
	if k.Admitted = s.Admitted(now); len(k.Admitted) > 0 {
		s.mu.Lock()
		defer s.mu.Unlock()
		k.Term = max(k.Term, s.admitted.Term)
	}
	return k
}

func ids(e consensus.Electorate) (all []catalog.GatewayID) {
	for _, v := range e.Voters {
		all = append(all, v.ID)
	}
	return all
}

// Count counts a refused message. It reports whether it should be logged.
func (s *Senders) Count(from catalog.GatewayID, why *Refusal, now time.Time) (log bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := refusedKey{from, why.Code}
	if s.refused[key] == nil && s.refusedOf(from.Datacenter(), now) >= maxRefused {
		key.gateway = catalog.GatewayID(from.Datacenter())
	}
	r := s.refused[key]
	if r == nil {
		r = &consensus.Refused{Gateway: key.gateway, Code: why.Code}
		s.refused[key] = r
	}
	log = now.Sub(r.Last) >= refusedLogInterval
	r.Count, r.Last, r.Message = r.Count+1, now, why.Error()
	return log
}

// refusedOf returns how many counts are kept for the gateways of a datacenter, and deletes
// those of which the last message was long ago; s.mu is held.
func (s *Senders) refusedOf(dc catalog.DatacenterName, now time.Time) (n int) {
	for key, r := range s.refused {
		switch {
		case now.Sub(r.Last) >= refusedLifetime:
			delete(s.refused, key)
		case key.gateway.Datacenter() == dc && key.gateway != catalog.GatewayID(dc):
			n++
		}
	}
	return n
}

// Refused returns what was refused, sorted.
func (s *Senders) Refused() []consensus.Refused {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []consensus.Refused
	for _, r := range s.refused {
		all = append(all, *r)
	}
	slices.SortFunc(all, func(a, b consensus.Refused) int {
		return cmp.Or(cmp.Compare(a.Gateway, b.Gateway), cmp.Compare(a.Code, b.Code))
	})
	return all
}

// Unknown makes the member inquire: a sender is not a voter in the configuration.
func (s *Senders) Unknown() {
	select {
	case s.Ask <- struct{}{}:
	default:
	}
}
