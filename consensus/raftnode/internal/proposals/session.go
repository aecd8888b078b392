package proposals

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/catalogpb"
)

// Session stamps commands so that a command that is retried is applied once: the
// catalog keeps the result of each (client, sequence) until the client has
// acknowledged it. A gateway is one client, however often it starts, so that its
// datacenter does not exceed the limit of clients: the sequences of a process begin
// at the time of its start, and acknowledge the results of the process before,
// which no longer needs them. Nothing is kept on disk.
type Session struct {
	author catalog.GatewayID

	mu           sync.Mutex // guards all following fields
	client       string
	last         uint64
	outstanding  map[uint64]struct{} // stamped and not released
	acknowledged uint64              // all sequences up to this one are released
}

// clientOf returns the client of a gateway. It has a hash of the names, which may be
// too long.
func clientOf(id catalog.GatewayID) string {
	sum := sha256.Sum256([]byte(id))
	return "gateway#" + hex.EncodeToString(sum[:8])
}

// NewSession returns the session of a process that starts now.
func NewSession(id catalog.GatewayID, now time.Time) *Session {
	first := FirstSequence(now)
	return &Session{
		author: id, client: clientOf(id), last: first, acknowledged: first,
		outstanding: make(map[uint64]struct{}),
	}
}

// FirstSequence returns a sequence that is higher than all that a client used in a
// process that started earlier. Its random part keeps two processes of one moment
// apart.
func FirstSequence(now time.Time) uint64 {
	const randomBits = 10
	return uint64(now.UnixMicro())<<randomBits | rand.Uint64N(1<<randomBits) //nolint:gosec // after 1970
}

// Renew makes the session another client, which has no results yet. It is for a
// gateway whose clock was ahead in an earlier process: the sequences of this one
// are acknowledged already. Nothing changes if client is not that of the session.
func (s *Session) Renew(client string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.client == client {
		s.client = fmt.Sprintf("%s#%016x", clientOf(s.author), rand.Uint64())
	}
}

// Stamp returns copies of cmds that may be sent any number of times, and a
// function to be called when they will not be sent again.
func (s *Session) Stamp(cmds []*catalogpb.Command, now time.Time) (stamped []*catalogpb.Command, release func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	first := s.last + 1
	for _, cmd := range cmds {
		s.last++
		s.outstanding[s.last] = struct{}{}
		c := proto.CloneOf(cmd)
		c.Client, c.Sequence, c.Acknowledged = s.client, s.last, s.acknowledged
		if c.Author == "" {
			c.Author = string(s.author)
		}
		if c.At == nil {
			c.At = timestamppb.New(now)
		}
		stamped = append(stamped, c)
	}
	last := s.last
	return stamped, func() { s.release(first, last) }
}

func (s *Session) release(first, last uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for seq := first; seq <= last; seq++ {
		delete(s.outstanding, seq)
	}
	for s.acknowledged < s.last {
		if _, ok := s.outstanding[s.acknowledged+1]; ok {
			return
		}
		s.acknowledged++
	}
}

// IsStale reports whether a command was refused because its sequence is one of an
// earlier process. It was not applied, and neither were the others of its call.
func IsStale(r catalog.Result) bool {
	return r.Refusal != nil && r.Refusal.Code == catalog.CodeStaleSequence
}
