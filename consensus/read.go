package consensus

import (
	"time"

	"github.com/meshway/meshway/consensus/catalog"
)

// ReadMode is how current a read must be.
type ReadMode int

// The read modes.
const (
	// LeaseRead returns what the leader has while it holds its lease. A leader
	// that is cut off holds it until it ends (less than a second in a LAN, 2.5 s
	// in a WAN); only in that window may a read miss the newest writes.
	LeaseRead ReadMode = iota
	// StaleRead returns the local copy, however old it is. It needs no other
	// member.
	StaleRead
	// ConsistentRead is linearizable: a quorum confirms the leader first.
	ConsistentRead
)

// Freshness is how current an answer is.
type Freshness struct {
	Index       uint64            // of the catalog that was read
	Leader      catalog.GatewayID // empty: unknown
	LastContact time.Duration     // since the last message of the leader; 0 on the leader, negative: never
}
