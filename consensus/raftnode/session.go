package raftnode

import (
	"crypto/rand"
	"encoding/hex"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/catalogpb"
)

// session stamps commands so that a command that is retried is applied once: the
// catalog keeps the result of each (client, sequence) until the client has
// acknowledged it. Each process is a new client, so that nothing is kept on disk.
type session struct {
	author catalog.GatewayID
	client string

	mu           sync.Mutex // guards all following fields
	last         uint64
	outstanding  map[uint64]struct{} // stamped and not released
	acknowledged uint64              // all sequences up to this one are released
}

func newSession(id catalog.GatewayID) *session {
	var nonce [8]byte
	rand.Read(nonce[:])
	return &session{
		author: id, client: string(id) + "#" + hex.EncodeToString(nonce[:]),
		outstanding: make(map[uint64]struct{}),
	}
}

// stamp returns copies of cmds that may be sent any number of times, and a
// function to be called when they will not be sent again.
func (s *session) stamp(cmds []*catalogpb.Command, now time.Time) (stamped []*catalogpb.Command, release func()) {
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

func (s *session) release(first, last uint64) {
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
