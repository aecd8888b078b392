package ruleset

import (
	"net/netip"
	"slices"
	"strings"
)

// partial reports whether a match of iptables, or an option of one, is for some of the
// packets of a flow: those of a size or a sender, up to a rate, at a time, or at random.
func partial(name string) bool {
	name = strings.TrimPrefix(name, "--")
	if slices.Contains([]string{
		"limit", "limit-burst", "quota", "quota2", "statistic", "mode", "probability", "every", "packet", "time", "length", "u32", "bpf", "string", "algo",
		"hex-string", "ttl", "hl", "tos", "dscp", "dscp-class", "ecn", "connbytes", "connbytes-dir", "connbytes-mode", "connmark", "mark", "owner", "cgroup", "path", "geoip",
		"src-cc", "dst-cc", "tcpmss", "mss", "osf", "cpu", "realm", "seconds", "hitcount", "rcheck", "update", "set-name", "name", "weekdays", "monthdays", "ipv4options", "nfacct",
		"tcp-option", "mask", "rsource", "rdest", "rttl", "kerneltz", "contiguous", "remove", "set", "rateest",
	}, name) {
		return true
	}
	return slices.ContainsFunc([]string{"hashlimit", "connlimit", "recent", "time", "date", "uid-", "gid-", "socket-", "rateest-", "ttl-", "hl-"}, func(prefix string) bool {
		return strings.HasPrefix(name, prefix)
	})
}

// partialMeta reports whether the packets of a flow have several values of a field.
func partialMeta(key string) bool {
	return slices.Contains([]string{
		"length", "mark", "skuid", "skgid", "priority", "cgroup", "random", "hour", "day", "time", "cpu", "rtclassid",
	}, key)
}

func partialConnection(key string) bool {
	return slices.Contains([]string{"mark", "bytes", "packets", "avgpkt", "count", "label"}, key)
}

// partialPayload returns whether a comparison with a field of a packet is for some of the
// packets of a flow. No packet of a flow has flags that no connection has.
func partialPayload(field string) truth {
	if field == "flags" || field == "saddr" || field == "daddr" || field == "type" || field == "code" {
		return maybe
	}
	return some
}

// network returns the addresses of a flow in a field, if it stands for several.
func (p Packet) network(left any) netip.Prefix {
	payload := member(left, "payload")
	if protocol := member(payload, "protocol"); protocol != "ip" && protocol != "ip6" {
		return netip.Prefix{}
	}
	switch member(payload, "field") {
	case "saddr":
		return p.Sources
	case "daddr":
		return p.Destinations
	default:
		return netip.Prefix{}
	}
}

// overlap returns whether right, or an element of it, has the addresses of a prefix: all
// of them, some, or none.
func overlap(p netip.Prefix, right any) truth {
	first, last := p.Masked().Addr().String(), lastOf(p).String()
	result := within(right, func(element any) truth {
		switch a, b := equals(first, element), equals(last, element); {
		case a == yes && b == yes:
			return yes
		case a == maybe || b == maybe:
			return maybe
		case a == yes || b == yes || insideOf(p, element):
			return some
		default:
			return no
		}
	})
	return result
}

// insideOf reports whether an address of an element is in a prefix.
func insideOf(p netip.Prefix, element any) bool {
	text, _ := element.(string)
	if prefix := member(element, "prefix"); prefix != nil {
		text, _ = member(prefix, "addr").(string)
	}
	if bounds, ok := member(element, "range").([]any); ok && len(bounds) == 2 {
		text, _ = bounds[0].(string)
	}
	a, err := netip.ParseAddr(text)
	return err == nil && p.Contains(a)
}

// lastOf returns the last address of a prefix.
func lastOf(p netip.Prefix) netip.Addr {
	bytes := p.Masked().Addr().AsSlice()
	for i := p.Bits(); i < len(bytes)*8; i++ {
		bytes[i/8] |= 1 << (7 - i%8)
	}
	a, _ := netip.AddrFromSlice(bytes)
	return a
}

// comparesMark reports whether a rule is for packets with a mark.
func (r Rule) comparesMark() bool {
	return slices.ContainsFunc(r.Statements, func(s Statement) bool {
		kind, content := s.kind()
		left := member(content, "left")
		if operands, ok := member(left, "&").([]any); ok && len(operands) > 0 {
			left = operands[0]
		}
		name, _ := member(content, "name").(string)
		return kind == "xt" && strings.HasSuffix(name, "mark") || member(member(left, "meta"), "key") == "mark" || member(member(left, "ct"), "key") == "mark"
	})
}

// hasStatements reports whether a statement that adds to a set has further ones, which may
// end the rule.
func hasStatements(content any) bool {
	list, _ := member(content, "stmt").([]any)
	return len(list) > 0
}

// unknown returns the truth of a comparison with a field whose value is not known: the
// packets of a flow have several values of some fields.
func (p Packet) unknown(left any) truth {
	if operands, ok := member(left, "&").([]any); ok && len(operands) > 0 {
		return p.unknown(operands[0])
	}
	if key, ok := member(member(left, "meta"), "key").(string); ok && partialMeta(key) {
		return some
	}
	if key, ok := member(member(left, "ct"), "key").(string); ok && partialConnection(key) {
		return some
	}
	if payload := member(left, "payload"); payload != nil {
		field, _ := member(payload, "field").(string)
		return partialPayload(field)
	}
	if member(left, "tcp option") != nil || member(left, "numgen") != nil || member(left, "jhash") != nil {
		return some
	}
	return maybe
}
