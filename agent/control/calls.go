package control

import (
	"context"
	"sync"

	"golang.org/x/sync/semaphore"

	"github.com/meshway/meshway/consensus/catalog"
)

// maxCalls bounds the calls of one member that are served at a time, and with them
// the memory of their requests and what the member may have in flight in the log.
// More calls wait before their requests are read.
const maxCalls = 16

// maxBytes bounds the requests of the gateways of one datacenter that are served at a time:
// its CA can issue certificates to any number of gateways. A request of many small
// messages takes up to a hundred times its size in memory.
const maxBytes = 4 * maxApply

// calls counts the calls that each member has in flight.
type calls struct {
	mu      sync.Mutex                         // guards members
	members map[catalog.GatewayID]*memberCalls // and datacenters, whose names have no slash
}

type memberCalls struct {
	slots chan struct{}       // of a gateway
	bytes *semaphore.Weighted // of a datacenter
	users int                 // calls that run or wait
}

// enter waits until a call of the member, with a request of a size, may run. leave must be
// called when it ends.
func (c *calls) enter(ctx context.Context, id catalog.GatewayID, size int64) (leave func(), err error) {
	datacenter := catalog.GatewayID(id.Datacenter())
	m, d := c.use(id), c.use(datacenter)
	release := func() {
		c.release(id, m)
		c.release(datacenter, d)
	}
	select {
	case m.slots <- struct{}{}:
	case <-ctx.Done():
		release()
		return nil, context.Cause(ctx)
	}
	if err := d.bytes.Acquire(ctx, size); err != nil {
		<-m.slots
		release()
		return nil, err
	}
	return func() {
		d.bytes.Release(size)
		<-m.slots
		release()
	}, nil
}

func (c *calls) use(id catalog.GatewayID) *memberCalls {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.members == nil {
		c.members = make(map[catalog.GatewayID]*memberCalls)
	}
	m := c.members[id]
	if m == nil {
		m = &memberCalls{slots: make(chan struct{}, maxCalls), bytes: semaphore.NewWeighted(maxBytes)}
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
