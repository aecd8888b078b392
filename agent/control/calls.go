package control

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"connectrpc.com/connect"
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

// maxOpen bounds the calls of one datacenter that run or wait: its connections carry 64,000.
// A gateway of ours has up to 16 open, and a datacenter up to 63 gateways.
const maxOpen = 1024

// maxEnrols bounds the calls of Enrol of one datacenter at a time: the answer to each has a
// copy of the catalog, for as long as the caller takes to read it.
const maxEnrols = 2

// calls counts the calls that each member has in flight.
type calls struct {
	mu      sync.Mutex                         // guards members
	members map[catalog.GatewayID]*memberCalls // and datacenters, whose names have no slash
}

type memberCalls struct {
	slots  *semaphore.Weighted // of a gateway
	bytes  *semaphore.Weighted // of a datacenter
	enrols *semaphore.Weighted // of a datacenter
	users  int                 // calls that run or wait
}

// need is what a call takes while it is served.
type need struct {
	bytes  int64 // of the request
	enrols bool
}

// enter waits until a call of the member may run. leave must be called when it ends.
func (c *calls) enter(ctx context.Context, id catalog.GatewayID, n need) (leave func(), err error) {
	datacenter := catalog.GatewayID(id.Datacenter())
	d, ok := c.use(datacenter)
	if !ok {
		return nil, connect.NewError(connect.CodeResourceExhausted,
			fmt.Errorf("%d calls of the gateways of datacenter %s are open, which is the maximum", maxOpen, datacenter))
	}
	m, _ := c.use(id) // it has no more than its datacenter
	undo := []func(){func() { c.release(datacenter) }, func() { c.release(id) }}
	leave = func() {
		for _, f := range slices.Backward(undo) {
			f()
		}
	}
	take := func(s *semaphore.Weighted, weight int64) {
		if err == nil && weight > 0 {
			if err = s.Acquire(ctx, weight); err == nil {
				undo = append(undo, func() { s.Release(weight) })
			}
		}
	}
	if n.enrols {
		take(d.enrols, 1)
	}
	take(m.slots, 1)
	take(d.bytes, n.bytes)
	if err != nil {
		leave()
		return nil, err
	}
	return leave, nil
}

// use counts a call, and reports whether there are not too many.
func (c *calls) use(id catalog.GatewayID) (*memberCalls, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.members == nil {
		c.members = make(map[catalog.GatewayID]*memberCalls)
	}
	m := c.members[id]
	if m == nil {
		m = &memberCalls{slots: semaphore.NewWeighted(maxCalls), bytes: semaphore.NewWeighted(maxBytes), enrols: semaphore.NewWeighted(maxEnrols)}
		c.members[id] = m
	}
	if m.users == maxOpen {
		return nil, false
	}
	m.users++
	return m, true
}

func (c *calls) release(id catalog.GatewayID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if m := c.members[id]; m.users > 1 {
		m.users--
	} else {
		delete(c.members, id)
	}
}
