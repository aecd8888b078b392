package limit

import (
	"fmt"
	"net"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// connections is a budget of 4, 2 for each source, and the names of what was closed.
type connections struct {
	t      *testing.T
	budget *Budget
	slots  map[string]*Slot
	closed []string
}

func newConnections(t *testing.T) *connections {
	return &connections{t: t, budget: newBudget(4, 2), slots: map[string]*Slot{}}
}

// open opens a connection with the name of its source and a number, such as "a1".
func (c *connections) open(name string) bool {
	source := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, 0, name[0]}), 32)
	s, ok := c.budget.Take(source, func() { c.closed = append(c.closed, name) })
	if ok {
		c.slots[name] = s
	}
	return ok
}

func TestNewConnectionReplacesTheOldestIdleOne(t *testing.T) {
	for name, c := range map[string]struct {
		open   []string
		calls  []string // with a call in progress
		more   string
		closed []string
		ok     bool
	}{
		"there is room":                         {[]string{"a1", "b1", "c1"}, nil, "d1", nil, true},
		"all are idle":                          {[]string{"a1", "b1", "c1", "d1"}, nil, "e1", []string{"a1"}, true},
		"the oldest has a call":                 {[]string{"a1", "b1", "c1", "d1"}, []string{"a1"}, "e1", []string{"b1"}, true},
		"the source has its share":              {[]string{"b1", "a1", "a2"}, nil, "a3", []string{"a1"}, true},
		"the source has its share, with a call": {[]string{"b1", "a1", "a2"}, []string{"a1"}, "a3", []string{"a2"}, true},
		"all of the source have calls":          {[]string{"b1", "a1", "a2"}, []string{"a1", "a2"}, "a3", nil, false},
		"all have calls":                        {[]string{"a1", "b1", "c1", "d1"}, []string{"a1", "b1", "c1", "d1"}, "e1", nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			conns := newConnections(t)
			for _, open := range c.open {
				require.True(t, conns.open(open))
			}
			for _, call := range c.calls {
				_ = conns.slots[call].Call() // never ends
			}
			assert.Equal(t, c.ok, conns.open(c.more))
			assert.Equal(t, c.closed, conns.closed)
		})
	}
}

func TestBudgetIsEmptyAfterAllReleases(t *testing.T) {
	conns := newConnections(t)
	for i := range 100 {
		conns.open(fmt.Sprintf("%c%d", 'a'+i%7, i))
		if i%3 == 0 {
			conns.open("x")
		}
	}
	for _, s := range conns.slots {
		done := s.Call()
		done()
		s.Release()
		s.Release()
		s.Call()()
	}
	assert.Zero(t, conns.budget.count)
	assert.Zero(t, conns.budget.idle.Len())
	assert.Empty(t, conns.budget.bySource)
}

func TestGatewaysInTheCatalogHaveABudgetOfTheirOwn(t *testing.T) {
	known := netip.MustParseAddr("2001:db8::1")
	b := NewBudgets(func(a netip.Addr) bool { return a == known })
	assert.Same(t, b.gateways, b.Underlay(net.TCPAddrFromAddrPort(netip.AddrPortFrom(known, 1))))
	assert.Same(t, b.strangers, b.Underlay(net.TCPAddrFromAddrPort(netip.MustParseAddrPort("[2001:db8::2]:1"))), "the same /64")
	assert.Same(t, b.strangers, b.Underlay(&net.UnixAddr{}))
}
