package ruleset

import (
	"net/netip"
	"slices"
	"strings"
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
	Here                bool   // the destination is an address of this host
	Protocol            string // "tcp" or "udp"
	SourcePort          uint16
	DestinationPort     uint16
	States              []string // of its connection, one of which applies: "new", "untracked"
	Bare                bool     // it came from a tunnel, without a header of Ethernet
	ethernet            bool     // it certainly has such a header
}

// Drops returns the base chains that certainly drop a packet.
func (r Ruleset) Drops(p Packet) []Drop {
	chains := make(map[string]Chain, len(r.Chains))
	for _, c := range r.Chains {
		chains[c.String()] = c
	}
	views := map[string]walk{} // what a packet has differs by hook and device
	var out []Drop
	for _, c := range r.Chains {
		seen, passes := p.at(c)
		if !c.Filters() || !passes {
			continue
		}
		view := c.Hook + " " + strings.Join(seen.In, " ") + ">" + strings.Join(seen.Out, " ")
		w, ok := views[view]
		if !ok {
			w = walk{packet: seen, sets: r.Sets, chains: chains, outcomes: map[string]outcome{}}
			views[view] = w
		}
		if by, dropped := w.drops(c); dropped {
			out = append(out, Drop{Chain: c, By: by})
		}
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

// outcome is what may happen to a packet in a chain or at a rule. Several of its
// fields may be set.
type outcome struct {
	accept, drop bool
	next         bool // the next rule follows; for a chain: its end is reached, or a rule returns
	ret          bool // of a rule: the chain ends
	by           site // of the last drop
}

// site is where a packet is dropped.
type site struct {
	chain Chain
	rule  Rule
}

// unknown is the outcome of what is not understood.
func unknown() outcome { return outcome{accept: true, drop: true, next: true} }

// walk follows one packet.
type walk struct {
	packet   Packet
	sets     map[string][]any
	chains   map[string]Chain
	outcomes map[string]outcome // of chains, by String; of one that is being walked: unknown
}

// drops reports whether a base chain certainly drops the packet, and by what.
func (w walk) drops(base Chain) (string, bool) {
	out := w.chain(base)
	switch {
	case out.accept, out.next && base.Policy != "drop":
		return "", false
	case out.next:
		return "its policy drop", true
	default:
		return out.by.rule.cause(out.by.chain, base), out.drop
	}
}

func (w walk) chain(c Chain) outcome {
	name := c.String()
	if known, ok := w.outcomes[name]; ok {
		return known
	}
	w.outcomes[name] = unknown()
	var out outcome
	for _, r := range c.Rules {
		matches := w.matches(c.Table, r)
		if matches == no {
			continue
		}
		v := w.verdict(c, r)
		out.accept, out.next = out.accept || v.accept, out.next || v.ret
		if v.drop {
			out.drop, out.by = true, v.by
		}
		if matches == yes && !v.next {
			w.outcomes[name] = out
			return out
		}
	}
	out.next = true
	w.outcomes[name] = out
	return out
}

// verdict returns what a rule does with a packet that it matches.
func (w walk) verdict(in Chain, r Rule) outcome {
	for _, s := range r.Statements {
		kind, content := s.kind()
		if out := w.statement(in, kind, content); !out.next || out.accept || out.drop || out.ret {
			if out.drop && out.by.chain.Name == "" {
				out.by = site{in, r}
			}
			return out
		}
	}
	return outcome{next: true}
}

// statement returns what a statement of a rule does with a packet.
func (w walk) statement(in Chain, kind string, content any) outcome {
	switch kind {
	case "accept":
		return outcome{accept: true}
	case "drop", "reject":
		return outcome{drop: true}
	case "return":
		return outcome{ret: true}
	case "continue", "match", "counter", "log", "limit", "quota", "mangle", "notrack", "set", "flow", "dup", "meter", "ct count",
		"ct helper", "ct timeout", "ct expectation", "secmark", "last", "comment":
		return outcome{next: true}
	case "jump", "goto":
		target, _ := member(content, "target").(string)
		sub := unknown()
		if c, ok := w.chains[Chain{Table: in.Table, Name: target}.String()]; ok {
			sub = w.chain(c)
		}
		if kind == "goto" {
			sub.next, sub.ret = false, sub.next
		}
		return sub
	case "vmap":
		return w.verdictMap(in, content)
	case "xt":
		return xtables(content)
	default:
		return unknown()
	}
}

// verdictMap returns the outcome of a map from matches to verdicts.
func (w walk) verdictMap(in Chain, content any) outcome {
	elements, ok := member(w.resolve(in.Table, member(content, "data")), "set").([]any)
	if !ok {
		return unknown() // a named map that is not read
	}
	var out outcome
	for _, e := range elements { // the kernel lists the one for all other keys last
		pair, ok := e.([]any)
		if !ok || len(pair) != 2 {
			return unknown()
		}
		matches := w.packet.compare(member(content, "key"), "==", pair[0])
		verdict, ok := pair[1].(map[string]any)
		if matches == no {
			continue
		}
		if !ok {
			return unknown()
		}
		kind, target := Statement(verdict).kind()
		v := w.statement(in, kind, target)
		out.accept, out.ret, out.next = out.accept || v.accept, out.ret || v.ret, out.next || v.next
		if v.drop {
			out.drop, out.by = true, v.by
		}
		if matches == yes {
			return out
		}
	}
	out.next = true
	return out
}

// xtables returns the outcome of an extension of iptables.
func xtables(content any) outcome {
	if kind := member(content, "type"); kind == "match" {
		return outcome{next: true}
	}
	name, _ := member(content, "name").(string)
	switch {
	case name == "REJECT" || name == "DROP":
		return outcome{drop: true}
	case slices.Contains(passingTargets(), name):
		return outcome{next: true}
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
