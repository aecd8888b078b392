package transport

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/meshway/meshway/consensus"
	"github.com/meshway/meshway/consensus/catalog"
)

// A CA can issue certificates to any number of gateways.
func TestRefusedMessagesOfOneDatacenterAreCountedInABoundedMemory(t *testing.T) {
	s, now := NewSenders(), time.Unix(1_800_000_000, 0)
	const messages = 10_000
	for i := range messages {
		s.Count(catalog.NewGatewayID("west", fmt.Sprint("gw", i)), refuse(consensus.CodeNotAVoter, "no"), now)
	}
	s.Count("west/gw0", refuse(consensus.CodeNotAVoter, "no"), now)
	s.Count("east/gw0", refuse(consensus.CodeMalformed, "no"), now)
	all := s.Refused()
	assert.Len(t, all, maxRefused+2)
	counts := map[catalog.GatewayID]uint64{}
	for _, r := range all {
		counts[r.Gateway] += r.Count
	}
	assert.Equal(t, uint64(1), counts["east/gw0"])
	assert.Equal(t, uint64(2), counts["west/gw0"])
	assert.Equal(t, uint64(messages-maxRefused), counts["west"], "none is lost")
	s.Count("north/gw0", refuse(consensus.CodeMalformed, "no"), now.Add(refusedLifetime))
	assert.Len(t, s.Refused(), 1, "the others are long ago")
}
