package transport

import (
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/meshway/meshway/consensus/catalog"
)

const (
	// maxResent is the number of bytes that may be sent again to a member without a vote
	// without a pause: two snapshots of the largest catalog.
	maxResent = 512 << 20
	// resentPerSecond is the number of further bytes in a second.
	resentPerSecond = 1 << 20
	// maxResentTo is the number of members whose counts are kept at least.
	maxResentTo = 1024
)

// resent bounds what the leader sends again to members without a vote. Such a member can
// claim after each message not to have what it was sent, and raft then sends its log or its
// snapshot again from the beginning, without a pause.
type resent struct {
	mu sync.Mutex
	to map[catalog.GatewayID]*sentTo // guarded by mu
}

// sentTo is what one member was sent by this leader.
type sentTo struct {
	last uint64    // index of the last entry
	paid time.Time // until when what was sent again takes, at resentPerSecond
}

// take counts a message of entries, or of a snapshot of some bytes, that a member is sent now,
// also if it does not arrive. It returns an error if the member has to wait for it.
func (r *resent) take(to catalog.GatewayID, entries []*raft.Log, snapshot int64, now time.Time) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.to == nil {
		r.to = make(map[catalog.GatewayID]*sentTo)
	}
	if len(r.to) > maxResentTo {
		maps.DeleteFunc(r.to, func(_ catalog.GatewayID, s *sentTo) bool { return s.paid.Before(now) })
	}
	s := r.to[to]
	if s == nil {
		s = new(sentTo)
		r.to[to] = s
	}
	again, last := snapshot, s.last
	for _, e := range entries {
		if e.Index <= s.last {
			again += int64(len(e.Data))
		}
		last = max(last, e.Index)
	}
	if again == 0 {
		s.last = last
		return nil
	}
	if s.paid.Before(now) {
		s.paid = now
	}
	paid := s.paid.Add(time.Duration(again) * time.Second / resentPerSecond)
	if wait := paid.Sub(now.Add(maxResent / resentPerSecond * time.Second)); wait > 0 && s.paid.After(now) {
		return fmt.Errorf("gateway %s has no vote, and was sent more than %d bytes again: it gets more in %v", to, maxResent, wait.Round(time.Second))
	}
	s.last, s.paid = last, paid
	return nil
}
