package control

import (
	"container/list"
	"net"
	"net/netip"
	"sync"
)

// budgets limit the connections whose peer is not a verified member, separately by
// where they come from: strangers cannot take what members need to connect.
type budgets struct {
	overlay   *budget // accepted on the overlay address, which only members reach
	gateways  *budget // from an address of a gateway in the catalog
	strangers *budget
	known     func(netip.Addr) bool // reports whether a gateway has the address
}

func newBudgets(known func(netip.Addr) bool) budgets {
	if known == nil {
		known = func(netip.Addr) bool { return false }
	}
	return budgets{overlay: newBudget(512, 256), gateways: newBudget(512, 64), strangers: newBudget(512, 16), known: known}
}

// underlay returns the budget of a connection from addr to the underlay address.
func (b budgets) underlay(addr net.Addr) *budget {
	if ap, err := netip.ParseAddrPort(addr.String()); err == nil && b.known(ap.Addr().Unmap().WithZone("")) {
		return b.gateways
	}
	return b.strangers
}

// budget limits connections, in all and from one source. A new connection replaces
// the oldest idle one: a caller that holds connections cannot keep others out.
type budget struct {
	total, perSource int

	mu       sync.Mutex // guards all following fields and those of the slots
	bySource map[netip.Prefix][]*slot
	count    int
	idle     *list.List // of *slot, the oldest first
}

func newBudget(total, perSource int) *budget {
	return &budget{total: total, perSource: perSource, bySource: make(map[netip.Prefix][]*slot), idle: list.New()}
}

// slot is the share of one connection in a budget. It is idle unless a call on the
// connection is in progress.
type slot struct {
	budget *budget
	source netip.Prefix
	evict  func()        // closes the connection
	calls  int           // in progress
	idle   *list.Element // nil while calls are in progress, and after the release
	taken  bool
}

// take returns a slot for a new connection, and closes the connection that it
// replaces with that one's evict. ok is false if there is no room, since all others
// have a call in progress.
func (b *budget) take(source netip.Prefix, evict func()) (s *slot, ok bool) {
	b.mu.Lock()
	replaced, full := b.replaceable(source)
	if full && replaced == nil {
		b.mu.Unlock()
		return nil, false
	}
	if replaced != nil {
		b.remove(replaced)
	}
	s = &slot{budget: b, source: source, evict: evict, taken: true}
	s.idle = b.idle.PushBack(s)
	b.bySource[source] = append(b.bySource[source], s)
	b.count++
	b.mu.Unlock()
	if replaced != nil {
		replaced.evict()
	}
	return s, true
}

// replaceable reports whether the budget has no room for source, and returns the
// oldest idle slot whose removal makes room. The caller holds b.mu.
func (b *budget) replaceable(source netip.Prefix) (oldest *slot, full bool) {
	same := b.bySource[source]
	switch {
	case len(same) >= b.perSource:
		for _, s := range same { // in the order of take
			if s.idle != nil {
				return s, true
			}
		}
		return nil, true
	case b.count < b.total:
		return nil, false
	}
	if front := b.idle.Front(); front != nil {
		oldest, _ = front.Value.(*slot)
	}
	return oldest, true
}

// remove takes s out of b. The caller holds b.mu.
func (b *budget) remove(s *slot) {
	s.taken = false
	if s.idle != nil {
		b.idle.Remove(s.idle)
		s.idle = nil
	}
	b.count--
	rest := b.bySource[s.source]
	for i, other := range rest {
		if other == s {
			rest = append(rest[:i], rest[i+1:]...)
			break
		}
	}
	if b.bySource[s.source] = rest; len(rest) == 0 {
		delete(b.bySource, s.source)
	}
}

// release returns the slot: the peer is a member, or the connection is closed. It
// may be called more than once.
func (s *slot) release() {
	s.budget.mu.Lock()
	defer s.budget.mu.Unlock()
	if s.taken {
		s.budget.remove(s)
	}
}

// call keeps the connection until the returned function is called.
func (s *slot) call() (done func()) {
	s.count(1)
	return func() { s.count(-1) }
}

func (s *slot) count(change int) {
	s.budget.mu.Lock()
	defer s.budget.mu.Unlock()
	if s.calls += change; !s.taken {
		return
	}
	switch {
	case s.calls == 0:
		s.idle = s.budget.idle.PushBack(s)
	case s.idle != nil:
		s.budget.idle.Remove(s.idle)
		s.idle = nil
	}
}
