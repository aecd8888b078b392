package consensus

import (
	"time"

	"github.com/meshway/meshway/consensus/catalog"
)

// ReadMode is how current a read must be.
type ReadMode int

// The read modes.
const (
	// LeaseRead returns what the leader has while it holds its lease: while a quorum
	// has acknowledged it within the last 0.7 s (LAN) or 2.5 s (WAN), in which no
	// other leader can be elected. Without the lease it is a ConsistentRead. It may
	// miss the newest writes only if a voter restarts within that time.
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
	LastContact time.Duration     // since the last message of the leader; 0 on a leader with its lease, negative: never
}
