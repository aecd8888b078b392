package liveness

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestHostsThatRunOneGatewayAreDetected(t *testing.T) {
	const local = 1
	type packet struct {
		after      time.Duration // since the last one
		mine, your uint32
	}
	for name, c := range map[string]struct {
		packets    []packet
		peer, self bool
	}{
		"one host":         {packets: []packet{{0, 7, 0}, {time.Second, 7, local}, {time.Second, 7, local}}},
		"a restarted peer": {packets: []packet{{0, 7, local}, {time.Second, 8, 0}, {time.Second, 8, local}}},
		"a peer that restarts often": {packets: []packet{
			{0, 7, local}, {time.Second, 8, local}, {time.Second, 9, local}, {time.Second, 10, local}, {time.Second, 11, local},
		}},
		"packets that overtake each other at a restart": {packets: []packet{
			{0, 7, local}, {time.Second, 8, 0}, {time.Millisecond, 7, local}, {time.Millisecond, 8, local}, {time.Second, 8, local},
		}},
		"a peer on two hosts": {peer: true, packets: []packet{
			{0, 7, local}, {time.Second, 8, local}, {time.Second, 7, local}, {time.Second, 8, local},
		}},
		"a peer on two hosts, of which one sends rarely": {peer: true, packets: []packet{
			{0, 7, local}, {time.Minute, 8, local}, {time.Second, 7, local}, {time.Minute, 8, local},
		}},
		"a peer that was on two hosts": {packets: []packet{
			{0, 7, local}, {time.Second, 8, local}, {time.Second, 7, local}, {time.Second, 8, local}, {copyMemory + time.Second, 8, local},
		}},
		"this agent has restarted": {packets: []packet{{0, 7, 99}, {time.Second, 7, 99}, {time.Second, 7, local}, {time.Second, 7, local}}},
		"this gateway on two hosts": {self: true, packets: []packet{
			{0, 7, local}, {time.Second, 7, 99}, {time.Second, 7, local}, {time.Second, 7, 99},
		}},
		"a peer that has forgotten this one": {packets: []packet{{0, 7, local}, {time.Second, 7, 0}, {time.Second, 7, local}}},
	} {
		t.Run(name, func(t *testing.T) {
			var s copies
			now := epoch
			for _, p := range c.packets {
				now = now.Add(p.after)
				s.receive(Control{MyDiscriminator: p.mine, YourDiscriminator: p.your}, local, now)
			}
			assert.Equal(t, c.peer, s.peer.certain(now))
			assert.Equal(t, c.self, s.self.certain(now))
		})
	}
}
