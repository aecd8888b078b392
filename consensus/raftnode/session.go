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

// session stamps commands so that a retry is applied once: the catalog keeps the
// result of each (client, sequence) until the client says that it has seen it.
// A new process is a new client, so nothing of it has to be kept on disk.
type session struct {
	author catalog.GatewayID
	client string

	mu          sync.Mutex // guards all following fields
	last        uint64
	outstanding map[uint64]struct{} // stamped, outcome not known yet
	seen        uint64              // all sequences up to this have come to an end
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
// function to call when they will not be sent again.
func (s *session) stamp(cmds []*catalogpb.Command, now time.Time) (stamped []*catalogpb.Command, release func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	first := s.last + 1
	for _, cmd := range cmds {
		s.last++
		s.outstanding[s.last] = struct{}{}
		c := proto.CloneOf(cmd)
		c.Client, c.Sequence, c.Acknowledged = s.client, s.last, s.seen
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
	for s.seen < s.last {
		if _, waits := s.outstanding[s.seen+1]; waits {
			return
		}
		s.seen++
	}
}
