package limit

import (
	"container/list"
	"net"
	"net/netip"
	"sync"
)

// Budgets limit the connections whose peer is not a verified member, separately by
// where they come from: strangers cannot take what members need to connect.
type Budgets struct {
	Overlay   *Budget // accepted on the overlay address, which only members reach
	gateways  *Budget // from an address of a gateway in the catalog
	strangers *Budget
	known     func(netip.Addr) bool // reports whether a gateway has the address
}

// NewBudgets returns budgets without connections; known may be nil.
func NewBudgets(known func(netip.Addr) bool) Budgets {
	if known == nil {
		known = func(netip.Addr) bool { return false }
	}
	return Budgets{Overlay: newBudget(512, 256), gateways: newBudget(512, 64), strangers: newBudget(512, 16), known: known}
}

// Underlay returns the budget of a connection from addr to the underlay address.
func (b Budgets) Underlay(addr net.Addr) *Budget {
	if ap, err := netip.ParseAddrPort(addr.String()); err == nil && b.known(ap.Addr().Unmap().WithZone("")) {
		return b.gateways
	}
	return b.strangers
}

// Budget limits connections, in all and from one source. A new connection replaces
// the oldest idle one: a caller that holds connections cannot keep others out.
type Budget struct {
	total, perSource int

	mu       sync.Mutex // guards all following fields and those of the slots
	bySource map[netip.Prefix][]*Slot
	count    int
	idle     *list.List // of *Slot, the oldest first
}

func newBudget(total, perSource int) *Budget {
	return &Budget{total: total, perSource: perSource, bySource: make(map[netip.Prefix][]*Slot), idle: list.New()}
}

// Slot is the share of one connection in a budget. It is idle unless a call on the
// connection is in progress.
type Slot struct {
	budget *Budget
	source netip.Prefix
	evict  func()        // closes the connection
	calls  int           // in progress
	idle   *list.Element // nil while calls are in progress, and after the release
	taken  bool
}

// Take returns a slot for a new connection, and closes the connection that it
// replaces with that one's evict. ok is false if there is no room, since all others
// have a call in progress.
func (b *Budget) Take(source netip.Prefix, evict func()) (s *Slot, ok bool) {
	b.mu.Lock()
	replaced, full := b.replaceable(source)
	if full && replaced == nil {
		b.mu.Unlock()
		return nil, false
	}
	if replaced != nil {
		b.remove(replaced)
	}
	s = &Slot{budget: b, source: source, evict: evict, taken: true}
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
func (b *Budget) replaceable(source netip.Prefix) (oldest *Slot, full bool) {
	same := b.bySource[source]
	switch {
	case len(same) >= b.perSource:
		for _, s := range same { // in the order of Take
			if s.idle != nil {
				return s, true
			}
		}
		return nil, true
	case b.count < b.total:
		return nil, false
	}
	if front := b.idle.Front(); front != nil {
		oldest, _ = front.Value.(*Slot)
	}
	return oldest, true
}

// remove takes s out of b. The caller holds b.mu.
func (b *Budget) remove(s *Slot) {
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

// Release returns the slot: the peer is a member, or the connection is closed. It
// may be called more than once.
func (s *Slot) Release() {
	s.budget.mu.Lock()
	defer s.budget.mu.Unlock()
	if s.taken {
		s.budget.remove(s)
	}
}

// Call keeps the connection until the returned function is called.
func (s *Slot) Call() (done func()) {
	s.count(1)
	return func() { s.count(-1) }
}

func (s *Slot) count(change int) {
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
