package liveness

import "time"

const (
	// copyMemory is how long after its last sign two hosts are reported as copies.
	copyMemory = 2 * time.Minute
	// copyCertain is the time between two signs that makes them certain: packets that
	// overtake each other while an agent restarts are not that far apart.
	copyCertain = time.Second
)

// copies detects that two hosts run one gateway, because the data directory of one
// was copied to the other. They share the key, so WireGuard accepts packets of both,
// but the discriminators of their agents differ. A restarted agent has another one,
// too, but its former one never returns.
type copies struct {
	former, present uint32 // discriminators of the peer
	acknowledged    bool   // the peer has sent ours
	peer, self      signs
}

// signs are the times at which something was observed.
type signs struct{ first, last time.Time }

func (s *signs) add(now time.Time) {
	if now.Sub(s.last) > copyMemory {
		s.first = now
	}
	s.last = now
}

func (s *signs) certain(now time.Time) bool {
	return s.last.Sub(s.first) >= copyCertain && now.Sub(s.last) <= copyMemory
}

// receive reads the discriminators of a control packet.
func (c *copies) receive(p Control, local uint32, now time.Time) {
	if p.MyDiscriminator != c.present {
		if p.MyDiscriminator == c.former {
			c.peer.add(now) // the peer is two hosts
		}
		c.former, c.present = c.present, p.MyDiscriminator
	}
	switch {
	case p.YourDiscriminator == local:
		c.acknowledged = true
	case p.YourDiscriminator != 0 && c.acknowledged:
		c.self.add(now) // the peer has received packets of another host since
	}
}
