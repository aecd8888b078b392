package control

import (
	"context"
	"sync"

	"github.com/meshway/meshway/consensus/catalog"
)

// maxCalls bounds the calls of one member that are served at a time, and with them
// the memory of their requests and what the member may have in flight in the log.
// More calls wait before their requests are read.
const maxCalls = 16

// calls counts the calls that each member has in flight.
type calls struct {
	mu      sync.Mutex // guards members
	members map[catalog.GatewayID]*memberCalls
}

type memberCalls struct {
	slots chan struct{}
	users int // calls that run or wait
}

// enter waits until a call of the member may run. leave must be called when it ends.
func (c *calls) enter(ctx context.Context, id catalog.GatewayID) (leave func(), err error) {
	m := c.use(id)
	select {
	case m.slots <- struct{}{}:
		return func() {
			<-m.slots
			c.release(id, m)
		}, nil
	case <-ctx.Done():
		c.release(id, m)
		return nil, context.Cause(ctx)
	}
}

func (c *calls) use(id catalog.GatewayID) *memberCalls {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.members == nil {
		c.members = make(map[catalog.GatewayID]*memberCalls)
	}
	m := c.members[id]
	if m == nil {
		m = &memberCalls{slots: make(chan struct{}, maxCalls)}
		c.members[id] = m
	}
	m.users++
	return m
}

func (c *calls) release(id catalog.GatewayID, m *memberCalls) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if m.users--; m.users == 0 {
		delete(c.members, id)
	}
}
