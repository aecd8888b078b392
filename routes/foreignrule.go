package routes

import (
	"cmp"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// Query is a packet whose route is looked up. It is of UDP without ports if no protocol
// is set, and of root if it is from this host and no user is set.
type Query struct {
	Destination netip.Addr
	Source      netip.Addr // zero: the kernel selects it
	In          string     // device on which the packet arrived; empty: it is from this host
	Protocol    uint8      // tcp, udp, icmp or ipv6-icmp: the kernel looks up no other one
	FromPort    uint16
	ToPort      uint16
	User        uint32 // of the process that sends it; the kernel uses root for forwarded packets
	TOS         uint8
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
	for _, each := range []struct {
		set  bool
		word string
	}{
		{q.TOS != 0, fmt.Sprintf("tos %#x", q.TOS)},
		{q.User != 0, fmt.Sprintf("uid %d", q.User)},
		{q.Protocol != 0, "ipproto " + protocolName(q.Protocol)},
		{q.FromPort != 0, fmt.Sprintf("sport %d", q.FromPort)},
		{q.ToPort != 0, fmt.Sprintf("dport %d", q.ToPort)},
	} {
		if each.set {
			text += " " + each.word
		}
	}
	return text
}

// ForeignRule is a policy rule of another program that looks up a table, drops packets or
// skips rules.
type ForeignRule struct {
	Family   Family
	Priority int
	Table    int    // 0 if Drop or Goto is set
	Shortest int    // the length of the shortest prefixes of the table that count
	Drop     string // "blackhole", "prohibit" or "unreachable"
	Goto     int    // the priority at which the lookup goes on; 0: with the next rule
	Not      bool   // the rule applies to all other packets than those it selects
	Selector
}

// Selector is which packets a rule is for. The zero value of a field selects all.
type Selector struct {
	From, To           netip.Prefix
	In                 string // device on which the packet arrived
	Out                string // device to which the sender has bound its socket
	Mark, Mask         uint32
	TOS                uint8
	Users              Range
	Protocol           uint8
	FromPorts, ToPorts Range
	More               bool // there are further ones
}

// Range is numbers from First to Last; the zero value is all numbers.
type Range struct {
	Limited     bool
	First, Last uint32
}

// String returns the range as first-last, or its only number.
func (r Range) String() string {
	if r.First == r.Last {
		return fmt.Sprint(r.First)
	}
	return fmt.Sprintf("%d-%d", r.First, r.Last)
}

func (r Range) contains(n uint32) bool {
	return !r.Limited || r.First <= n && n <= r.Last
}

// Selects reports whether the rule may apply to an unmarked packet.
func (r ForeignRule) Selects(q Query) bool {
	return r.Family == FamilyOf(q.Destination) && (r.selects(q) != r.Not || r.More)
}

func (s Selector) selects(q Query) bool {
	return (!s.To.IsValid() || s.To.Contains(q.Destination)) &&
		(!s.From.IsValid() || q.Source.IsValid() && s.From.Contains(q.Source)) &&
		(s.In == "" || s.In == q.In || s.In == "lo" && q.In == "") && s.Out == "" &&
		s.Mark&s.Mask == 0 && (s.TOS == 0 || s.TOS == q.TOS) &&
		s.Users.contains(q.User) && (s.Protocol == 0 || s.Protocol == cmp.Or(q.Protocol, protocolUDP)) &&
		s.FromPorts.contains(uint32(q.FromPort)) && s.ToPorts.contains(uint32(q.ToPort))
}

// Some reports whether the rule is only for some of the packets between two addresses.
func (s Selector) Some() bool {
	return s.TOS != 0 || s.Users.Limited || s.Protocol != 0 || s.FromPorts.Limited || s.ToPorts.Limited
}

// Narrow returns the packet of q with what the rule selects beside addresses and
// devices. Of those that a rule with Not selects, it is one that the rule is not for.
func (s Selector) Narrow(q Query, not bool) Query {
	if not {
		if s.Protocol == protocolUDP {
			q.Protocol = protocolTCP
		}
		return q
	}
	q.Protocol, q.TOS = s.Protocol, s.TOS
	if q.In == "" {
		q.User = s.Users.First
	}
	q.FromPort, q.ToPort = uint16(s.FromPorts.First), uint16(s.ToPorts.First) //nolint:gosec // ports
	return q
}

// String returns the rule as arguments of "ip rule del". Selectors that it lacks
// are not needed, because ip compares only those that it is given.
func (r ForeignRule) String() string {
	words := append([]string{fmt.Sprintf("pref %d", r.Priority)}, r.words(r.Not)...)
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
	words = append(words, "lookup "+table)
	if r.Shortest > 0 {
		words = append(words, fmt.Sprintf("suppress_prefixlength %d", r.Shortest-1))
	}
	return strings.Join(words, " ")
}

func (s Selector) words(not bool) []string {
	var words []string
	for _, each := range []struct {
		set  bool
		word string
	}{
		{not, "not"},
		{s.From.IsValid(), "from " + s.From.String()},
		{s.To.IsValid(), "to " + s.To.String()},
		{s.TOS != 0, fmt.Sprintf("tos %#x", s.TOS)},
		{s.Mask != 0, fmt.Sprintf("fwmark %#x/%#x", s.Mark, s.Mask)},
		{s.In != "", "iif " + s.In},
		{s.Out != "", "oif " + s.Out},
		{s.Users.Limited, fmt.Sprintf("uidrange %d-%d", s.Users.First, s.Users.Last)},
		{s.Protocol != 0, "ipproto " + protocolName(s.Protocol)},
		{s.FromPorts.Limited, "sport " + s.FromPorts.String()},
		{s.ToPorts.Limited, "dport " + s.ToPorts.String()},
	} {
		if each.set {
			words = append(words, each.word)
		}
	}
	return words
}

// The numbers of protocols that have names in rules (IANA).
const (
	protocolICMP   = 1
	protocolTCP    = 6
	protocolUDP    = 17
	protocolICMPv6 = 58
)

// protocolName returns what ip calls a protocol: a name, or its number.
func protocolName(number uint8) string {
	names := map[uint8]string{protocolICMP: "icmp", protocolTCP: "tcp", protocolUDP: "udp", protocolICMPv6: "ipv6-icmp"}
	return cmp.Or(names[number], strconv.Itoa(int(number)))
}
