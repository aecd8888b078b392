package ruleset

import (
	"fmt"
	"net/netip"
	"slices"
)

// Packet is a packet that another program's rules may drop. A zero field is not
// known.
type Packet struct {
	Hooks   []string // of IP that it passes, in any order
	In, Out []string // devices, one of which applies
	// InPorts and OutPorts are the devices of which bridges In and Out consist, one of which
	// applies; empty: they are no bridges.
	InPorts, OutPorts   []string
	Source, Destination netip.Addr
	Flow
	Here            bool   // the destination is an address of this host
	Protocol        string // "tcp", "udp", "icmp" or "ipv6-icmp"; the latter two are of echo
	SourcePort      uint16
	DestinationPort uint16
	States          []string // of its connection, one of which applies: "new", "untracked"
	Bare            bool     // it came from a tunnel, without a header of Ethernet
}

// Flow describes a set of packets by the fields that are equal in all of them. A zero field
// is not known.
type Flow struct {
	Sources, Destinations netip.Prefix // zero: only the addresses of the packet
	Mark                  Mark         // in hooks of IP, unless another program changes it
	User                  string       // of the process that sends them
	ethernet              bool         // they certainly have a header of Ethernet
}

// Drops returns the base chains that drop a packet, or some of those for which it stands.
func (r Ruleset) Drops(p Packet) []Drop {
	chains := make(map[string]Chain, len(r.Chains))
	for _, c := range r.Chains {
		chains[c.String()] = c
	}
	policies := slices.ContainsFunc(r.Chains, Chain.ofPolicies)
	walkOf := func(seen Packet) walk {
		return walk{Ruleset: r, packet: seen, policies: policies, chains: chains, outcomes: map[string]outcome{}}
	}
	p = r.withMark(p, walkOf)
	views := map[string]walk{} // what a packet has differs by hook and device
	var out []Drop
	for _, c := range r.Chains {
		seen, passes := p.at(c)
		if !c.Filters() || !passes {
			continue
		}
		view := fmt.Sprint(c.Hook, seen.In, seen.Out, seen.Mark)
		w, ok := views[view]
		if !ok {
			w = walkOf(seen)
			views[view] = w
		}
		out = append(out, w.drops(c)...)
	}
	return out
}

// at returns the packet as a base chain sees it. It reports whether the packet certainly
// comes there. Devices that have not been chosen yet, and connections that are not
// tracked there, are not known.
func (p Packet) at(c Chain) (Packet, bool) {
	if family := c.Table.Family; family == "ip" && p.is6() || family == "ip6" && !p.is6() {
		return p, false
	}
	if c.Table.Family == "bridge" || c.Table.Family == "netdev" || c.Hook == "ingress" || c.Hook == "egress" || c.Hook == "prerouting" && c.Priority <= rawPriority {
		p.Mark = Mark{}
	}
	switch {
	case c.Hook == "ingress":
		p.In, p.Out, p.States = c.among(p.In, p.InPorts), nil, nil
		return p, len(p.In) > 0
	case c.Hook == "egress":
		p.In, p.Out, p.States, p.Bare = nil, c.among(p.Out, p.OutPorts), nil, false
		return p, len(p.Out) > 0
	case c.Table.Family != "bridge":
		if c.Hook == "prerouting" {
			p.Out = nil
		}
		return p, slices.Contains(p.Hooks, c.Hook)
	}
	p.States, p.Bare, p.ethernet = nil, false, true
	switch c.Hook {
	case "prerouting", "input": // of the bridge itself
		p.In, p.Out = p.InPorts, nil
		return p, len(p.In) > 0
	case "output", "postrouting":
		p.In, p.Out = nil, p.OutPorts
		return p, len(p.Out) > 0
	default: // from a port to another one
		return p, false
	}
}

// among returns the first of the lists of devices of which each one has the chain, or nil.
func (c Chain) among(lists ...[]string) []string {
	for _, devices := range lists {
		if len(devices) > 0 && !slices.ContainsFunc(devices, func(d string) bool {
			return !slices.ContainsFunc(c.Devices, func(pattern string) bool { return equalsText(d, pattern) == yes })
		}) {
			return devices
		}
	}
	return nil
}

// outcome is to which of the packets each may happen in a chain or at a rule.
type outcome struct {
	accept, drop truth
	next         truth  // the next rule follows; for a chain: its end is reached, or a rule returns
	ret          truth  // of a rule: the chain ends
	by           []site // of the drops
}

// site is where packets are dropped.
type site struct {
	chain Chain
	rule  Rule
	which truth // of the packets
}

// maxSites bounds the rules of a chain that are named.
const maxSites = 8

// unknown is the outcome of what is not understood.
func unknown() outcome { return outcome{accept: maybe, drop: maybe, next: maybe} }

// of returns the outcome of what happens only to a part of the packets.
func (o outcome) of(part truth) outcome {
	out := outcome{accept: min(o.accept, part), drop: min(o.drop, part), next: min(o.next, part), ret: min(o.ret, part)}
	for _, s := range o.by {
		s.which = min(s.which, part)
		out.by = append(out.by, s)
	}
	return out
}

// also adds another outcome of the same packets.
func (o *outcome) also(other outcome) {
	o.accept, o.drop, o.next, o.ret = max(o.accept, other.accept), max(o.drop, other.drop), max(o.next, other.next), max(o.ret, other.ret)
	for _, s := range other.by {
		if len(o.by) < maxSites {
			o.by = append(o.by, s)
		} else {
			o.by[maxSites-1] = s // the last one decides about what is left
		}
	}
}

// walk follows one packet.
type walk struct {
	Ruleset
	packet   Packet
	policies bool // a program marks packets that its policies let pass
	chains   map[string]Chain
	outcomes map[string]outcome // of chains, by String; of one that is being walked: unknown
}

// drops returns by what a base chain drops the packet: all that it stands for if nothing
// else may happen to them, or some.
func (w walk) drops(base Chain) []Drop {
	out := w.chain(base)
	if base.Policy == "drop" {
		out.drop = max(out.drop, out.next)
	} else {
		out.accept = max(out.accept, out.next)
	}
	switch {
	case out.drop == no:
		return nil
	case out.accept == no && base.Policy == "drop" && out.next > no:
		return []Drop{{Chain: base, By: "its policy drop"}}
	case out.accept == no && len(out.by) > 0:
		last := out.by[len(out.by)-1]
		return []Drop{{Chain: base, By: last.rule.cause(last.chain, base)}}
	}
	var drops []Drop
	for _, s := range out.by {
		d := Drop{Chain: base, By: s.rule.cause(s.chain, base), Some: true}
		if s.which >= some && !slices.ContainsFunc(drops, func(e Drop) bool { return e.By == d.By }) {
			drops = append(drops, d)
		}
	}
	if base.Policy == "drop" && out.next >= some {
		drops = append(drops, Drop{Chain: base, By: "its policy drop", Some: true})
	}
	return drops
}

func (w walk) chain(c Chain) outcome {
	name := c.String()
	if known, ok := w.outcomes[name]; ok {
		return known
	}
	w.outcomes[name] = unknown()
	var out outcome
	reached := yes
	for _, r := range c.Rules {
		matches := w.matches(c.Table, r)
		if matches == no {
			continue
		}
		v := w.verdict(c, r)
		switch {
		case matches == some && (c.ofPolicies() || w.policies && v.accept > no && r.comparesMark()):
			matches = maybe
		case matches == maybe && v.accept == yes && !w.policies && !c.ofPolicies():
			matches = some // what is accepted by a condition that is not understood may be little
		}
		reach := min(reached, matches)
		out.also(outcome{accept: v.accept, drop: v.drop, next: v.ret, by: v.by}.of(reach))
		if matches > maybe || v.accept > no || v.ret > no { // otherwise, what does not come further is dropped
			reached = min(reached, rest(matches, v.next))
		}
		if reached == no {
			break
		}
	}
	out.next = max(out.next, reached)
	w.outcomes[name] = out
	return out
}

// rest returns which of the packets come to the rule after one that applies to some of them,
// after which the next rule follows for some of those.
func rest(matches, next truth) truth {
	switch {
	case next == yes:
		return yes
	case matches == yes:
		return next
	default:
		return max(matches, min(next, some))
	}
}

// verdict returns what a rule does with a packet that it matches.
func (w walk) verdict(in Chain, r Rule) outcome {
	for _, s := range r.Statements {
		kind, content := s.kind()
		if out := w.statement(in, kind, content); out.next < yes || out.accept > no || out.drop > no || out.ret > no {
			if out.drop > no && len(out.by) == 0 {
				out.by = []site{{in, r, out.drop}}
			}
			return out
		}
	}
	return outcome{next: yes}
}

// statement returns what a statement of a rule does with a packet.
func (w walk) statement(in Chain, kind string, content any) outcome {
	switch kind {
	case "accept":
		return outcome{accept: yes}
	case "drop", "reject":
		return outcome{drop: yes}
	case "return":
		return outcome{ret: yes}
	case "continue", "match", "counter", "log", "limit", "quota", "mangle", "notrack", "set", "flow", "dup", "meter", "ct count",
		"ct helper", "ct timeout", "ct expectation", "secmark", "last", "comment", "ipset":
		return outcome{next: yes}
	case "jump", "goto":
		target, _ := member(content, "target").(string)
		sub := unknown()
		if c, ok := w.chains[Chain{Table: in.Table, Name: target}.String()]; ok {
			sub = w.chain(c)
		}
		if kind == "goto" {
			sub.next, sub.ret = no, sub.next
		}
		return sub
	case "vmap":
		return w.verdictMap(in, content)
	case "queue":
		return w.queue(content)
	case "xt":
		return w.xtables(content)
	default:
		return unknown()
	}
}

// queue returns what happens to packets for a queue from which a program may read: without
// one they are dropped, unless the rule lets them pass then.
func (w walk) queue(content any) outcome {
	first, ok := number(member(content, "num"))
	last := first
	if member(content, "num") == nil {
		ok = true // it is queue 0
	}
	if bounds, isRange := member(member(content, "num"), "range").([]any); isRange && len(bounds) == 2 {
		low, ok1 := number(bounds[0])
		high, ok2 := number(bounds[1])
		first, last, ok = low, high, ok1 && ok2
	}
	if !ok || slices.ContainsFunc(w.Queues, func(q uint16) bool { return first <= uint32(q) && uint32(q) <= last }) {
		return unknown()
	}
	if flags := member(content, "flags"); within(flags, func(e any) truth { return truthOf(e == "bypass") }) == yes {
		return outcome{accept: yes}
	}
	return outcome{drop: yes}
}

// verdictMap returns the outcome of a map from matches to verdicts.
func (w walk) verdictMap(in Chain, content any) outcome {
	elements, ok := member(w.resolve(in.Table, member(content, "data")), "set").([]any)
	if !ok {
		return unknown() // a named map that is not read
	}
	bound, out := yes, outcome{}
	if member(w.resolve(in.Table, member(content, "data")), "changes") == true {
		bound, out = some, unknown() // what it lacks now may be in it for a packet
	}
	reached := yes
	for _, e := range elements { // the kernel lists the one for all other keys last
		pair, ok := e.([]any)
		if !ok || len(pair) != 2 {
			return unknown()
		}
		matches := min(bound, w.packet.compare(member(content, "key"), "==", pair[0]))
		verdict, ok := pair[1].(map[string]any)
		if matches == no {
			continue
		}
		if !ok {
			return unknown()
		}
		kind, target := Statement(verdict).kind()
		out.also(w.statement(in, kind, target).of(min(reached, matches)))
		if reached = min(reached, rest(matches, no)); reached == no {
			return out
		}
	}
	out.next = max(out.next, reached)
	return out
}

// xtables returns the outcome of an extension of iptables.
func (w walk) xtables(content any) outcome {
	if kind := member(content, "type"); kind == "match" {
		return outcome{next: yes}
	}
	name, _ := member(content, "name").(string)
	switch {
	case name == "REJECT" || name == "DROP":
		return outcome{drop: yes}
	case slices.Contains(passingTargets(), name):
		return outcome{next: yes}
	case name == "NFQUEUE" && len(w.Queues) == 0: // its number is not known
		return outcome{accept: some, drop: some}
	default:
		return unknown()
	}
}

// passingTargets are the extensions of iptables after which the next rule follows.
func passingTargets() []string {
	return []string{
		"LOG", "NFLOG", "MARK", "CONNMARK", "TCPMSS", "CT", "TRACE", "SET", "CLASSIFY", "DSCP", "TTL", "HL", "CHECKSUM", "SECMARK", "CONNSECMARK", "NOTRACK",
		"AUDIT", "HMARK", "IDLETIMER", "LED", "RATEEST", "TEE", "TOS", "ULOG",
	}
}
