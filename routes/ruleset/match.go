package ruleset

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// truth is whether something applies to the packets of a flow.
type truth int

const (
	no    truth = iota
	maybe       // to all, some or none: it is not known
	some        // to some of them
	yes
)

// not returns the truth of the opposite.
func (t truth) not() truth {
	switch t {
	case no:
		return yes
	case yes:
		return no
	default:
		return t
	}
}

// matches reports whether all conditions of a rule of a table apply to the packet.
func (w walk) matches(t Table, r Rule) truth {
	result := yes
	for _, s := range r.Statements {
		switch kind, content := s.kind(); kind {
		case "match":
			op, _ := member(content, "op").(string)
			result = min(result, w.packet.compare(member(content, "left"), op, w.resolve(t, member(content, "right"))))
		case "limit", "quota", "meter", "ct count":
			result = min(result, some)
		case "set": // "update @s { … limit … }" ends the rule when the limit is exceeded
			if member(member(content, "stmt"), "limit") != nil || hasStatements(content) {
				result = min(result, some)
			} else {
				result = min(result, maybe)
			}
		case "ipset":
			result = min(result, w.ipset(content))
		case "xt":
			if member(content, "type") == "match" {
				result = min(result, w.packet.extension(member(content, "name")))
			}
		}
	}
	return result
}

// extension reports whether a match of iptables without an equal in nft applies. No packet
// of Meshway passes a bridge from port to port. A header that the packet does not have
// matches neither an address nor its opposite.
func (p Packet) extension(name any) truth {
	text, _ := name.(string)
	switch {
	case name == "comment", name == notBridged:
		return yes
	case name == bridged, name == "mac" && p.Bare:
		return no
	case partial(strings.TrimPrefix(text, "! ")):
		return some
	default:
		return maybe
	}
}

// resolve returns a set with the elements of the named set to which right refers, as
// far as they are known.
func (w walk) resolve(t Table, right any) any {
	name, _ := right.(string)
	key := t.String() + " " + strings.TrimPrefix(name, "@")
	if elements, known := w.Sets[key]; known && strings.HasPrefix(name, "@") {
		return map[string]any{"set": elements, "changes": w.Changing[key]}
	}
	return right
}

// compare reports whether a field of the packet compares to a value. A packet that
// does not have the field never matches, with any operator.
func (p Packet) compare(left any, op string, right any) truth {
	fields, ok := member(left, "concat").([]any)
	if !ok {
		fields = []any{left}
	}
	for _, f := range fields {
		if _, present := p.field(f); !present {
			return no
		}
	}
	result := p.equals(left, right)
	if ok {
		result = within(right, func(element any) truth { return p.equalsEach(fields, element) })
	}
	changes := member(right, "changes") == true
	switch op {
	case "==", "in":
		if changes {
			return min(result, some)
		}
		return result
	case "!=", "!":
		if changes {
			return some
		}
		return result.not()
	default:
		return p.unknown(left)
	}
}

// equals reports whether a field that the packet has equals right.
func (p Packet) equals(left, right any) truth {
	if net := p.network(left); net.IsValid() {
		return overlap(net, right)
	}
	if result, isFlags := p.compareFlags(left, right); isFlags {
		return result
	}
	if result, isMark := p.compareMark(left, right); isMark {
		return result
	}
	if have, _ := p.field(left); len(have) > 0 {
		return equalsAll(have, right)
	}
	return within(right, func(element any) truth {
		return min(p.unknown(left), truthOf(!slices.Contains(p.never(left), element)))
	})
}

// equalsEach reports whether all fields of a concatenation equal those of an element.
func (p Packet) equalsEach(fields []any, element any) truth {
	if element == "*" {
		return yes
	}
	values, ok := member(element, "concat").([]any)
	if !ok || len(values) != len(fields) {
		return maybe
	}
	result := yes
	for i, f := range fields {
		result = min(result, p.equals(f, values[i]))
	}
	return result
}

// field returns the values of which a field of the packet has one; none: it is not
// known. The packet does not have the field if present is false.
func (p Packet) field(left any) (have []string, present bool) {
	if operands, ok := member(left, "&").([]any); ok && len(operands) > 0 {
		_, present = p.field(operands[0])
		return nil, present
	}
	if meta := member(left, "meta"); meta != nil {
		key := member(meta, "key")
		return p.meta(key), key != "skuid" && key != "skgid" || slices.Contains(p.Hooks, "output")
	}
	if payload := member(left, "payload"); payload != nil {
		return p.payload(member(payload, "protocol"), member(payload, "field"))
	}
	if ct := member(left, "ct"); ct != nil && member(ct, "key") == "state" {
		return p.States, true
	}
	if fib := member(left, "fib"); fib != nil && member(fib, "result") == "type" {
		if flags, _ := member(fib, "flags").([]any); len(flags) == 1 && flags[0] == "daddr" {
			if p.Here {
				return []string{"local"}, true
			}
			return []string{"unicast"}, true
		}
	}
	return nil, true
}

// never returns values that a field whose value is not known does not have: packets
// to and from other hosts do not use the loopback device, each has one recipient, and
// nothing translates the addresses of Meshway's packets.
func (p Packet) never(left any) []any {
	switch key := member(member(left, "meta"), "key"); key {
	case "iif", "iifname", "oif", "oifname":
		return []any{"lo"}
	case "pkttype":
		return []any{"broadcast", "multicast"}
	}
	if member(member(left, "ct"), "key") == "status" {
		return []any{"dnat", "snat"}
	}
	return nil
}

// meta returns the values of a field that is not part of the packet itself.
func (p Packet) meta(key any) []string {
	switch key {
	case "iif", "iifname":
		return p.In
	case "oif", "oifname":
		return p.Out
	case "l4proto":
		return known(p.Protocol)
	case "skuid":
		return known(p.User)
	case "iiftype":
		if p.Bare {
			return []string{"none"}
		}
		return nil
	case "nfproto":
		if p.is6() {
			return []string{"ipv6"}
		}
		return []string{"ipv4"}
	case "protocol":
		if p.is6() {
			return []string{"ip6"}
		}
		return []string{"ip"}
	default:
		return nil
	}
}

// payload returns the values of a field of the packet.
func (p Packet) payload(protocol, field any) (have []string, present bool) {
	switch protocol {
	case "ip", "ip6":
		if (protocol == "ip6") != p.is6() {
			return nil, false
		}
		switch field {
		case "saddr":
			return knownAddress(p.Source), true
		case "daddr":
			return knownAddress(p.Destination), true
		case "protocol", "nexthdr":
			return known(p.Protocol), true
		}
		return nil, true
	case "tcp", "udp", "th":
		if protocol != "th" && p.Protocol != "" && p.Protocol != protocol {
			return nil, false
		}
		switch field {
		case "sport":
			return knownPort(p.SourcePort), true
		case "dport":
			return knownPort(p.DestinationPort), true
		}
		return nil, true
	case "ether":
		if field == "type" && p.ethernet {
			return p.meta("protocol"), true
		}
		return nil, !p.Bare
	case "icmp", "icmpv6":
		if p.Protocol != "" && p.Protocol != map[any]string{"icmp": "icmp", "icmpv6": "ipv6-icmp"}[protocol] {
			return nil, false
		}
		if field == "type" {
			return p.echo(), true
		}
		return nil, true
	case "sctp", "dccp", "udplite", "ah", "esp", "igmp", "gre", "arp", "vlan":
		return nil, p.Protocol == ""
	default:
		return nil, true
	}
}

// echo returns the types of messages of ICMP, for which the packet stands: a request, or
// both directions of an established exchange.
func (p Packet) echo() []string {
	if p.Protocol == "" {
		return nil
	}
	if slices.Contains(p.States, "new") {
		return []string{"echo-request"}
	}
	return []string{"echo-request", "echo-reply"}
}

func (p Packet) is6() bool { return p.Source.Is6() || p.Destination.Is6() }

func known(value string) []string {
	if value == "" {
		return nil
	}
	return []string{value}
}

func knownAddress(a netip.Addr) []string {
	if !a.IsValid() {
		return nil
	}
	return []string{a.String()}
}

func knownPort(port uint16) []string {
	if port == 0 {
		return nil
	}
	return []string{strconv.Itoa(int(port))}
}
