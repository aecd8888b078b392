package raftnode

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/meshway/meshway/consensus"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/replica"
	"github.com/meshway/meshway/consensus/raftnode/internal/transport"
)

const (
	// namedLifetime is how long the report of other members about the voters counts.
	namedLifetime = time.Minute
	// refusedLogInterval limits the log of refused messages of one gateway.
	refusedLogInterval = time.Minute
)

// senders is what this member has learned, beside raft's configuration, of the members
// that may send it messages of raft, and what it has refused.
type senders struct {
	ask chan struct{} // size 1: an unknown sender; see inquire

	mu      sync.Mutex // guards all following fields
	named   consensus.Electorate
	namedAt time.Time
	refused map[refusedKey]*consensus.Refused
}

type refusedKey struct {
	gateway catalog.GatewayID
	code    string
}

func newSenders() senders {
	return senders{ask: make(chan struct{}, 1), refused: make(map[refusedKey]*consensus.Refused)}
}

// later returns the voters of a later configuration that other members have reported.
func (s *senders) later(now time.Time) consensus.Electorate {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now.Sub(s.namedAt) > namedLifetime {
		return consensus.Electorate{}
	}
	return s.named
}

func (s *senders) setLater(e consensus.Electorate, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.named, s.namedAt = e, now
}

// count counts a refused message. It reports whether it should be logged.
func (s *senders) count(from catalog.GatewayID, why *transport.Refusal, now time.Time) (log bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := refusedKey{from, why.Code}
	r := s.refused[key]
	if r == nil {
		r = &consensus.Refused{Gateway: from, Code: why.Code}
		s.refused[key] = r
	}
	log = now.Sub(r.Last) >= refusedLogInterval
	r.Count, r.Last, r.Message = r.Count+1, now, why.Error()
	return log
}

// list returns what was refused, sorted.
func (s *senders) list() []consensus.Refused {
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

// unknown makes inquire run: a sender is not a voter in the configuration.
func (s *senders) unknown() {
	select {
	case s.ask <- struct{}{}:
	default:
	}
}

// refused records a message of raft that was not passed to it.
func (n *Node) refused(from catalog.GatewayID, why *transport.Refusal) {
	if why.Code == consensus.CodeNotAVoter {
		n.guard.senders.unknown()
	}
	if n.guard.senders.count(from, why, time.Now()) {
		n.log.Warn("refused a message of raft", "gateway", from, "code", why.Code, "err", why)
	}
}

// knowledge returns by what this member judges the messages that it receives.
func (n *Node) knowledge(inst *instance) transport.Knowledge {
	later := n.guard.senders.later(time.Now())
	k := transport.Knowledge{
		Term:          max(inst.raft.CurrentTerm(), later.Term),
		Leader:        inst.leader(),
		Configuration: inst.raft.GetConfiguration().Configuration(),
		InCatalog: func(id catalog.GatewayID) bool {
			view := n.View()
			_, has := view.Federation()
			_, ok := view.Gateway(id)
			return ok || !has // without a catalog there is nothing to protect
		},
	}
	for _, v := range later.Voters {
		k.Named = append(k.Named, v.ID)
	}
	return k
}

// Admits reports whether a gateway may connect for raft: it is in the catalog, or a
// member of a configuration that this member or others have. The catalog alone does
// not suffice: the local copy may be behind, and then the gateways that could send
// the rest may not be in it yet.
func (n *Node) Admits(id catalog.GatewayID) bool {
	if _, ok := n.View().Gateway(id); ok {
		return true
	}
	if inst := n.instance.Load(); inst != nil {
		for _, s := range inst.servers() {
			if s.ID == raft.ServerID(id) {
				return true
			}
		}
	}
	for _, v := range n.guard.senders.later(time.Now()).Voters {
		if v.ID == id {
			return true
		}
	}
	n.guard.senders.unknown()
	return false
}

// CA returns the certificate (DER) of the CA of a datacenter that is not in the local
// copy of the catalog but has a vote, as other members report it.
func (n *Node) CA(dc catalog.DatacenterName) ([]byte, bool) {
	for _, v := range n.guard.senders.later(time.Now()).Voters {
		if v.ID.Datacenter() == dc && len(v.CA) > 0 {
			return v.CA, true
		}
	}
	n.guard.senders.unknown()
	return nil, false
}

// verifySnapshot returns why a snapshot that another member sent must not replace the
// local copy.
func (n *Node) verifySnapshot(data []byte) error {
	sent, err := replica.Decode(bytes.NewReader(data))
	if err != nil {
		return fmt.Errorf("read the catalog: %w", err)
	}
	own, _ := n.View().Federation()
	if other, _ := sent.View().Federation(); own.ID != "" && other.ID != own.ID {
		return fmt.Errorf("it is of federation %q, and this is %s", other.ID, own.ID)
	}
	return n.cfg.Verify(n.View(), sent.View())
}
