package routes

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// Query is a packet whose route is looked up. It is of UDP without ports if no protocol
// is set, and of root if it is from this host and no user is set.
type Query struct {
	Destination netip.Addr
	Source      netip.Addr // zero: the kernel selects it
	In          string     // device on which the packet arrived; empty: it is from this host
	Out         string     // device to which the sender has bound its socket
	Protocol    uint8      // tcp, udp, icmp or ipv6-icmp: the kernel looks up no other one
	FromPort    uint16
	ToPort      uint16
	User        uint32 // of the process that sends it; the kernel uses root for forwarded packets
	TOS         uint8
	Mark        uint32
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
	if q.Out != "" {
		text += " oif " + q.Out
	}
	for _, each := range []struct {
		set  bool
		word string
	}{
		{q.TOS != 0, fmt.Sprintf("tos %#x", q.TOS)},
		{q.Mark != 0, fmt.Sprintf("mark %#x", q.Mark)},
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

// Selector selects the packets of a rule. The zero value of a field selects all.
type Selector struct {
	From, To           netip.Prefix
	In                 string // device on which the packet arrived
	Out                string // device to which the sender has bound its socket
	Mark, Mask         uint32
	TOS                uint8
	Users              Range
	Protocol           uint8
	FromPorts, ToPorts Range
	DSCP               Bits
	TunnelID           uint64 // of the tunnel of another program from which the packet came
	L3Master           bool   // the device on which the packet arrived is in a VRF, whose table is looked up
	More               bool   // the rule has further conditions
}

// Bits is numbers that have the bits of Value where Mask has bits; the zero value is all
// numbers.
type Bits struct {
	Limited     bool
	Value, Mask uint8
}

// String returns the value, with its mask unless that is all of DSCP.
func (b Bits) String() string {
	if b.Mask == maxDSCP {
		return strconv.Itoa(int(b.Value))
	}
	return fmt.Sprintf("%#x/%#x", b.Value, b.Mask)
}

func (b Bits) contains(n uint8) bool { return !b.Limited || n&b.Mask == b.Value&b.Mask }

// DSCP is the upper part of the byte that TOS is.
const (
	maxDSCP   = 0x3f
	dscpShift = 2
)

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

// Selects reports whether the rule may apply to a packet.
func (r ForeignRule) Selects(q Query) bool {
	return r.Family == FamilyOf(q.Destination) && (r.selects(q) != r.Not || r.Uncertain())
}

// Uncertain reports whether the rule has selectors that are not compared with a query.
func (s Selector) Uncertain() bool { return s.More || s.L3Master || s.TunnelID != 0 }

// LookedUp reports whether the kernel looks up packets that show what the rule does. It
// refuses those of most protocols.
func (r ForeignRule) LookedUp() bool {
	icmp := uint8(protocolICMP)
	if r.Family == IPv6 {
		icmp = protocolICMPv6
	}
	return r.Not || !r.More && r.TunnelID == 0 && slices.Contains([]uint8{0, protocolTCP, protocolUDP, icmp}, r.Protocol)
}

// Packets returns what packets the rule is for, if the kernel does not look them up.
func (s Selector) Packets() string {
	switch {
	case s.Protocol != 0:
		return "packets of protocol " + protocolName(s.Protocol)
	case s.TunnelID != 0:
		return "packets from tunnels of other programs"
	default:
		return "packets that the rule selects"
	}
}

func (s Selector) selects(q Query) bool {
	return (!s.To.IsValid() || s.To.Contains(q.Destination)) &&
		(!s.From.IsValid() || q.Source.IsValid() && s.From.Contains(q.Source)) &&
		(s.In == "" || s.In == q.In || s.In == "lo" && q.In == "") && (s.Out == "" || s.Out == q.Out) &&
		(q.Mark^s.Mark)&s.Mask == 0 && (s.TOS == 0 || s.TOS == q.TOS) && s.DSCP.contains(q.TOS>>dscpShift) &&
		s.Users.contains(q.User) && (s.Protocol == 0 || s.Protocol == cmp.Or(q.Protocol, protocolUDP)) &&
		s.FromPorts.contains(uint32(q.FromPort)) && s.ToPorts.contains(uint32(q.ToPort))
}

// Some reports whether the rule is only for some of the packets between two addresses.
func (s Selector) Some() bool {
	return s.TOS != 0 || s.DSCP.Limited || s.Users.Limited || s.Protocol != 0 || s.FromPorts.Limited || s.ToPorts.Limited
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
	if s.DSCP.Limited {
		q.TOS = s.DSCP.Value << dscpShift
	}
	if q.In == "" {
		q.User, q.Out = s.Users.First, s.Out
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
	case r.L3Master && r.Table == 0:
		return strings.Join(words, " ")
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
		{s.DSCP.Limited, "dscp " + s.DSCP.String()},
		{s.TunnelID != 0, fmt.Sprintf("tun_id %d", s.TunnelID)},
		{s.L3Master, "l3mdev"},
	} {
		if each.set {
			words = append(words, each.word)
		}
	}
	return words
}

// The numbers of protocols that the kernel looks up (IANA).
const (
	protocolICMP   = 1
	protocolTCP    = 6
	protocolUDP    = 17
	protocolICMPv6 = 58
)

// protocolName returns what ip calls a protocol: a name, or its number.
func protocolName(number uint8) string {
	names := map[uint8]string{
		protocolICMP: "icmp", protocolTCP: "tcp", protocolUDP: "udp", protocolICMPv6: "ipv6-icmp",
		2: "igmp", 4: "ipencap", 33: "dccp", 41: "ipv6", 47: "gre", 50: "esp", 51: "ah", 132: "sctp", 136: "udplite",
	}
	return cmp.Or(names[number], strconv.Itoa(int(number)))
}
