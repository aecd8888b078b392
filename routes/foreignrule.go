package routes

import (
	"fmt"
	"net/netip"
	"strings"
)

// Query is a packet whose route is looked up.
type Query struct {
	Destination netip.Addr
	Source      netip.Addr // zero: the kernel selects it
	In          string     // device on which the packet arrived; empty: it is from this host
}

// String returns the query as arguments of "ip route get".
func (q Query) String() string {
	text := q.Destination.String()
	if q.Source.IsValid() {
		text += " from " + q.Source.String()
	}
	if q.In != "" {
		text += " iif " + q.In
	}
	return text
}

// ForeignRule is a policy rule of another program that looks up a table, drops packets or
// skips rules.
type ForeignRule struct {
	Family   Family
	Priority int
	Table    int          // 0 if Drop or Goto is set
	Drop     string       // "blackhole", "prohibit" or "unreachable"
	Goto     int          // the priority at which the lookup goes on; 0: with the next rule
	From, To netip.Prefix // zero: all
	In       string       // device on which the packet arrived; empty: any
	Mark     uint32       // with Mask
	Mask     uint32       // 0: any mark
	Not      bool         // the rule applies to all other packets
	More     bool         // it has further selectors
}

// Selects reports whether the rule may apply to an unmarked packet.
func (r ForeignRule) Selects(q Query) bool {
	if r.Family != FamilyOf(q.Destination) {
		return false
	}
	selects := (!r.To.IsValid() || r.To.Contains(q.Destination)) &&
		(!r.From.IsValid() || q.Source.IsValid() && r.From.Contains(q.Source)) &&
		(r.In == "" || r.In == q.In || r.In == "lo" && q.In == "") &&
		r.Mark&r.Mask == 0
	return selects != r.Not || r.More
}

// String returns the rule as arguments of "ip rule del". Selectors that it lacks
// are not needed, because ip compares only those that it is given.
func (r ForeignRule) String() string {
	words := []string{fmt.Sprintf("pref %d", r.Priority)}
	if r.Not {
		words = append(words, "not")
	}
	if r.From.IsValid() {
		words = append(words, "from "+r.From.String())
	}
	if r.To.IsValid() {
		words = append(words, "to "+r.To.String())
	}
	if r.Mask != 0 {
		words = append(words, fmt.Sprintf("fwmark %#x/%#x", r.Mark, r.Mask))
	}
	if r.In != "" {
		words = append(words, "iif "+r.In)
	}
	switch {
	case r.Drop != "":
		return strings.Join(append(words, r.Drop), " ")
	case r.Goto != 0:
		return strings.Join(append(words, fmt.Sprintf("goto %d", r.Goto)), " ")
	}
	table := fmt.Sprint(r.Table)
	if name, ok := map[int]string{253: "default", 254: "main", 255: "local"}[r.Table]; ok {
		table = name
	}
	return strings.Join(append(words, "lookup "+table), " ")
}
