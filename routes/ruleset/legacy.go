package ruleset

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// ParseLegacy returns the chains of a table in the output of iptables-legacy-save, with
// the statements that nft has for the same rules. A match that has none may or may not
// apply.
func ParseLegacy(t Table, listing string) []Chain {
	var out []Chain
	index := map[string]int{}
	for line := range strings.Lines(listing) {
		line = strings.TrimSpace(line)
		if declared, ok := strings.CutPrefix(line, ":"); ok {
			words := strings.Fields(declared)
			if len(words) < 2 {
				continue
			}
			c := Chain{Table: t, Name: words[0]}
			if words[1] != "-" {
				c.Type, c.Hook, c.Policy = "filter", strings.ToLower(words[0]), strings.ToLower(words[1])
				c.Priority = map[string]int{"raw": rawPriority, "mangle": -150, "security": 50}[t.Name]
			}
			index[c.Name] = len(out)
			out = append(out, c)
			continue
		}
		added, ok := strings.CutPrefix(line, "-A ")
		name, text, _ := strings.Cut(added, " ")
		if i, declared := index[name]; ok && declared {
			out[i].Rules = append(out[i].Rules, Rule{Text: text, Statements: legacyRule(text)})
		}
	}
	return out
}

// legacyRule returns the statements of a rule.
func legacyRule(text string) []Statement {
	var out []Statement
	words := quotedWords(text)
	extension := "" // the last one, whose options follow
	for len(words) > 0 {
		op := "=="
		if words[0] == "!" && len(words) > 1 {
			op, words = "!=", words[1:]
		}
		option := words[0]
		n := slices.IndexFunc(words[1:], func(w string) bool { return w == "!" || strings.HasPrefix(w, "-") }) + 1
		if n == 0 || option == "--comment" { // its text may look like an option
			n = len(words)
		}
		if option == "--comment" {
			n = min(2, n)
		}
		values := words[1:n]
		switch {
		case option == "-j" || option == "-g":
			return append(out, legacyTarget(option, values, words[n:]))
		case option == "-m" && len(values) == 1 && slices.Contains(legacyMatches(), values[0]):
			extension = values[0]
		case option == "--comment":
		case option == "--mark" && extension == "mark" && len(values) == 1:
			out = append(out, legacyMark(op, values[0]))
		default:
			out = append(out, legacyMatch(option, op, values))
		}
		words = words[n:]
	}
	return out
}

// legacyMatches are the extensions that have no effect without their options.
func legacyMatches() []string {
	return []string{
		"tcp", "udp", "multiport", "conntrack", "state", "comment", "addrtype", "iprange", "mac", "physdev", "pkttype", "set", "owner", "mark", "length",
		"limit", "hashlimit", "connlimit", "recent", "statistic", "time", "quota", "string", "ttl", "hl", "tos", "dscp", "connmark", "connbytes", "u32", "icmp", "icmp6",
	}
}

// The names of a match that nft does not have: the packet passes a bridge from port to
// port.
const (
	bridged    = "--physdev-is-bridged"
	notBridged = "! " + bridged
)

// legacyMatch returns the statement for an option that is not a target.
func legacyMatch(option, op string, values []string) Statement {
	meta := func(key string) any { return map[string]any{"meta": map[string]any{"key": key}} }
	payload := func(protocol, field string) any {
		return map[string]any{"payload": map[string]any{"protocol": protocol, "field": field}}
	}
	if option == bridged && op == "!=" {
		option = notBridged
	}
	unknown := Statement{"xt": map[string]any{"type": "match", "name": option}}
	if special, ok := legacySpecial(option, op, values, payload); ok {
		return special
	}
	if len(values) != 1 {
		return unknown
	}
	var left, right any
	switch value := values[0]; option {
	case "-i":
		left, right = meta("iifname"), wildcard(value)
	case "-o":
		left, right = meta("oifname"), wildcard(value)
	case "-p":
		left, right = meta("l4proto"), value
	case "-s", "-d":
		prefix, err := netip.ParsePrefix(value)
		if err != nil {
			return unknown
		}
		left = payload(familyName(prefix.Addr()), map[string]string{"-s": "saddr", "-d": "daddr"}[option])
		right = map[string]any{"prefix": map[string]any{"addr": prefix.Addr().String(), "len": float64(prefix.Bits())}}
	case "--src-range", "--dst-range":
		first, last, _ := strings.Cut(value, "-")
		a, err := netip.ParseAddr(first)
		if err != nil {
			return unknown
		}
		left = payload(familyName(a), map[string]string{"--src-range": "saddr", "--dst-range": "daddr"}[option])
		right = map[string]any{"range": []any{first, last}}
	case "--uid-owner":
		left, right = meta("skuid"), legacyUsers(value)
	case "--mac-source":
		left, right = payload("ether", "saddr"), value
	case "--pkt-type":
		left, right = meta("pkttype"), value
	case "--sport", "--sports":
		left, right = payload("th", "sport"), legacyPorts(value)
	case "--dport", "--dports":
		left, right = payload("th", "dport"), legacyPorts(value)
	case "--ctstate", "--state":
		left, right = map[string]any{"ct": map[string]any{"key": "state"}}, elements(strings.ToLower(value))
	case "--dst-type":
		left = map[string]any{"fib": map[string]any{"result": "type", "flags": []any{"daddr"}}}
		right = elements(strings.ToLower(value))
	default:
		return unknown
	}
	return Statement{"match": map[string]any{"op": op, "left": left, "right": right}}
}

// flags returns a list of flags of TCP in the form of nft.
func flags(list string) any {
	words := strings.Split(strings.ToLower(list), ",")
	switch {
	case list == "ALL":
		words = tcpFlags()
	case list == "NONE":
		words = nil
	}
	out := []any{}
	for _, w := range words {
		out = append(out, w)
	}
	return map[string]any{"|": out}
}

// tcpFlags are those that iptables compares.
func tcpFlags() []string { return []string{"fin", "syn", "rst", "psh", "ack", "urg"} }

// legacySpecial returns the statement for an option that has no value or several, or that
// nft does not have.
func legacySpecial(option, op string, values []string, payload func(protocol, field string) any) (Statement, bool) {
	switch {
	case option == "--match-set" && len(values) == 2:
		return Statement{"ipset": map[string]any{"name": values[0], "directions": values[1], "not": op == "!="}}, true
	case option == "--tcp-flags" && len(values) == 2:
		left := map[string]any{"&": []any{payload("tcp", "flags"), flags(values[0])}}
		return Statement{"match": map[string]any{"op": op, "left": left, "right": flags(values[1])}}, true
	case option == "--icmp-type" && len(values) == 1:
		return Statement{"match": map[string]any{"op": op, "left": payload("icmp", "type"), "right": echoType(values[0], "8", "0")}}, true
	case option == "--icmpv6-type" && len(values) == 1:
		return Statement{"match": map[string]any{"op": op, "left": payload("icmpv6", "type"), "right": echoType(values[0], "128", "129")}}, true
	default:
		return nil, false
	}
}

// legacyMark returns the statement for a mark of a packet, which may have a mask.
func legacyMark(op, text string) Statement {
	number, bits, masked := strings.Cut(text, "/")
	value, err := strconv.ParseUint(number, 0, 32)
	mask, err2 := strconv.ParseUint(bits, 0, 32)
	if err != nil || masked && err2 != nil {
		return Statement{"xt": map[string]any{"type": "match", "name": "--mark"}}
	}
	var left any = map[string]any{"meta": map[string]any{"key": "mark"}}
	if masked {
		left = map[string]any{"&": []any{left, float64(mask)}}
	}
	return Statement{"match": map[string]any{"op": op, "left": left, "right": float64(value)}}
}

// legacyUsers returns a user, or a range of them.
func legacyUsers(value string) any {
	first, last, isRange := strings.Cut(value, "-")
	a, err := strconv.ParseFloat(first, 64)
	b, err2 := strconv.ParseFloat(last, 64)
	switch {
	case err != nil || isRange && err2 != nil:
		return map[string]any{} // not known
	case isRange:
		return map[string]any{"range": []any{a, b}}
	default:
		return a
	}
}

func familyName(a netip.Addr) string {
	if a.Is6() {
		return "ip6"
	}
	return "ip"
}

// wildcard returns the name of a device in the form of nft, which has * for any rest.
func wildcard(device string) string {
	if prefix, ok := strings.CutSuffix(device, "+"); ok {
		return prefix + "*"
	}
	return device
}

func elements(list string) map[string]any {
	var set []any
	for word := range strings.SplitSeq(list, ",") {
		set = append(set, word)
	}
	return map[string]any{"set": set}
}

// legacyPorts returns the set of ports in a list of numbers and ranges.
func legacyPorts(list string) map[string]any {
	var set []any
	for word := range strings.SplitSeq(list, ",") {
		low, high, isRange := strings.Cut(word, ":")
		first, err := strconv.ParseFloat(low, 64)
		if err != nil {
			set = append(set, map[string]any{}) // not known
			continue
		}
		last, err := strconv.ParseFloat(high, 64)
		switch {
		case isRange && err == nil:
			set = append(set, map[string]any{"range": []any{first, last}})
		case isRange:
			set = append(set, map[string]any{})
		default:
			set = append(set, first)
		}
	}
	return map[string]any{"set": set}
}

// legacyTarget returns the statement for a target with its options.
func legacyTarget(option string, values, options []string) Statement {
	if len(values) == 0 {
		return Statement{"unknown": nil}
	}
	switch target := values[0]; {
	case option == "-g":
		return Statement{"goto": map[string]any{"target": target}}
	case target == "ACCEPT" || target == "DROP" || target == "REJECT" || target == "RETURN":
		return Statement{strings.ToLower(target): nil}
	case target == "NFQUEUE":
		return legacyQueue(options)
	case target == "MARK" && len(options) == 2 && options[0] == "--set-xmark":
		return legacySetMark(map[string]any{"meta": map[string]any{"key": "mark"}}, options[1])
	case target == "CONNMARK":
		return legacyConnectionMark(options)
	case slices.Contains(passingTargets(), target):
		return Statement{"xt": map[string]any{"type": "target", "name": target}}
	default:
		return Statement{"jump": map[string]any{"target": target}} // unknown, if it is an extension
	}
}
