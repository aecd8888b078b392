package ruleset

import (
	"cmp"
	"fmt"
	"slices"
)

// maxMarkings bounds the rules that mark a packet.
const maxMarkings = 8

// Marking is a rule of another program that gives a packet a mark before its route is looked
// up.
type Marking struct {
	Chain  string // as Chain.String has it
	By     string // as Drop.By
	Handle int    // of the rule; 0: it is not known
	In     string // the chain that has the rule, as Chain.String has it
	Mark   uint32
	// Unknown are the bits of the mark that depend on what is not known; 0: Mark is it.
	Unknown  uint32
	Doubtful bool // only a connection whose mark another rule sets has it
	Some     bool // the rule is for some of the packets for which the packet stands
}

// Markings returns the rules that mark an unmarked packet. Of those that apply to all
// packets, it is only the last one, because it decides. A rule that may not apply is left out.
func (r Ruleset) Markings(p Packet) []Marking {
	chains := make(map[string]Chain, len(r.Chains))
	var bases []Chain
	for _, c := range r.Chains {
		chains[c.String()] = c
		if c.marks(p) {
			bases = append(bases, c)
		}
	}
	slices.SortStableFunc(bases, func(a, b Chain) int { return cmp.Compare(a.Priority, b.Priority) })
	policies := slices.ContainsFunc(r.Chains, Chain.ofPolicies)
	m := marker{whole: p}
	for _, base := range bases {
		if m.ended == dropped {
			break
		}
		p.Mark = Mark{Value: m.mark, Known: AllBits}
		seen, passes := p.at(base)
		seen.Mark = p.Mark // also in chains that precede those of Meshway
		if !passes {
			continue
		}
		m.base, m.visited = base, map[string]truth{}
		m.walk = walk{Ruleset: r, packet: seen, policies: policies, chains: chains, outcomes: map[string]outcome{}}
		m.ended = open
		m.chain(base, yes)
	}
	if m.certain != nil && m.mark != 0 {
		m.found = append(m.found, *m.certain)
	}
	return slices.DeleteFunc(m.found[:min(len(m.found), maxMarkings)], func(each Marking) bool { return each.Mark == 0 && each.Unknown == 0 })
}

// marks reports whether the mark that a base chain gives a packet decides about its route.
func (c Chain) marks(p Packet) bool {
	if c.Table.Family == "bridge" || c.Table.Family == "netdev" {
		return false
	}
	if slices.Contains(p.Hooks, "output") {
		return c.Hook == "output" && (c.Type == "route" || c.Table.Legacy && c.Table.Name == "mangle")
	}
	return c.Hook == "prerouting" && c.Type == "filter"
}

// marker follows one packet.
type marker struct {
	walk
	base    Chain
	whole   Packet   // as it is in no chain
	mark    uint32   // that it certainly has
	certain *Marking // that has set it
	found   []Marking
	visited map[string]truth // chains, with which of the packets came there
	ended   end
	// connections are the marks that rules give connections, once they were collected.
	connections []uint32
}

// end is whether the packet certainly leaves a base chain before its end.
type end int

const (
	open end = iota
	accepted
	dropped
)

// chain follows the packet through a chain that it reaches certainly, or that some packets
// reach. It reports whether the rule after the chain follows.
func (m *marker) chain(c Chain, reached truth) truth {
	if m.visited[c.String()] >= reached {
		return reached // each chain at most twice
	}
	m.visited[c.String()] = reached
	for _, r := range c.Rules {
		matches := min(reached, m.matches(c.Table, r))
		if matches < some {
			continue
		}
		next := m.statements(c, r, matches)
		if reached = min(reached, rest(matches, next)); reached < some || m.ended != open {
			return reached
		}
	}
	return reached
}

// statements follows the packet through a rule, and reports whether the next one follows.
func (m *marker) statements(c Chain, r Rule, matches truth) truth {
	for _, s := range r.Statements {
		switch kind, content := s.kind(); kind {
		case "mangle":
			if member(member(member(content, "key"), "meta"), "key") == "mark" {
				m.set(c, r, matches, member(content, "value"))
			}
		case "jump", "goto":
			target, _ := member(content, "target").(string)
			sub, known := m.chains[Chain{Table: c.Table, Name: target}.String()]
			if !known {
				continue
			}
			m.chain(sub, matches)
			if kind == "goto" || m.ended != open {
				return no
			}
		case "vmap":
			if next, ends := m.verdictMap(c, r, matches, content); ends {
				return next
			}
		case "return":
			return no
		case "accept", "drop", "reject":
			if matches == yes && kind == "accept" {
				m.ended = accepted
			} else if matches == yes {
				m.ended = dropped
			}
			return no
		}
	}
	return yes
}

// verdictMap follows the packet through the verdicts of a map. It reports whether one
// applies to all packets, and whether the next rule follows then.
func (m *marker) verdictMap(c Chain, r Rule, matches truth, content any) (next truth, ends bool) {
	elements, _ := member(m.resolve(c.Table, member(content, "data")), "set").([]any)
	for _, e := range elements {
		pair, _ := e.([]any)
		if len(pair) != 2 {
			continue
		}
		verdict, _ := pair[1].(map[string]any)
		part := min(matches, m.packet.compare(member(content, "key"), "==", pair[0]))
		if part < some {
			continue
		}
		next := m.statements(c, Rule{Handle: r.Handle, Text: r.Text, Statements: []Statement{verdict}}, part)
		if part == matches || m.ended != open {
			return next, next != yes || m.ended != open
		}
	}
	return yes, false
}

// set notes what a rule sets as the mark.
func (m *marker) set(c Chain, r Rule, matches truth, value any) {
	for _, v := range m.values(c.Table, value) {
		part := min(matches, v.which)
		if part < some || v.mark == m.mark && v.unknown == 0 {
			continue
		}
		found := Marking{Chain: m.base.String(), By: r.cause(c, m.base), Handle: r.Handle, In: c.String(), Mark: v.mark, Unknown: v.unknown, Doubtful: v.saved, Some: part != yes}
		if part != yes || v.unknown != 0 {
			if len(m.found) < maxMarkings {
				m.found = append(m.found, found)
			}
			continue
		}
		m.mark, m.certain = v.mark, &found
		m.packet.Mark = Mark{Value: v.mark, Known: AllBits}
	}
}

// valued is a mark that packets get.
type valued struct {
	mark, unknown uint32
	which         truth // of the packets
	saved         bool  // it is that of a connection
}

// values returns the marks that a statement may give a packet: the one that it states, those
// of a map for its packets, or those that rules give connections.
func (m *marker) values(t Table, value any) []valued {
	if mark, known := evaluate(value, marks{packet: m.mark}); known {
		return []valued{{mark: mark, which: yes}}
	}
	if of := member(value, "map"); of != nil {
		return m.mapped(t, of)
	}
	var out []valued
	if _, ofConnection := evaluate(value, marks{connection: new(uint32)}); ofConnection {
		for _, c := range m.ofConnections() {
			mark, _ := evaluate(value, marks{packet: m.mark, connection: &c})
			out = append(out, valued{mark: mark, which: some, saved: true})
		}
		return out
	}
	return []valued{{unknown: changed(value), which: some}}
}

// mapped returns the marks of a map for the packet.
func (m *marker) mapped(t Table, of any) []valued {
	data := m.resolve(t, member(of, "data"))
	elements, ok := member(data, "set").([]any)
	if !ok {
		return []valued{{unknown: AllBits, which: some}}
	}
	var out []valued
	for _, e := range elements {
		pair, ok := e.([]any)
		if !ok || len(pair) != 2 {
			continue
		}
		which := m.packet.compare(member(of, "key"), "==", pair[0])
		if member(data, "changes") == true {
			which = min(which, some)
		}
		if mark, known := number(pair[1]); known && which >= some {
			out = append(out, valued{mark: mark, which: which})
		}
	}
	return out
}

// ofConnections returns the marks that rules give connections: those that they state, and
// those of packets whose mark they save. One that no rule has set is 0.
func (m *marker) ofConnections() []uint32 {
	if m.connections == nil {
		m.connections = append([]uint32{}, m.constants("ct", append([]uint32{0}, m.constants("meta", []uint32{0})...))...)
	}
	return m.connections
}

// constants returns what the rules of all chains set as a mark, of packets or connections,
// if the packet has one of some marks. Rules for other packets do not count, in either
// direction of the connection.
func (m *marker) constants(key string, packets []uint32) []uint32 {
	var out []uint32
	there, back := m.walk, m.walk
	there.packet, back.packet = m.whole, m.whole.reversed()
	for _, c := range m.Chains {
		for _, r := range c.Rules {
			if there.matches(c.Table, r) == no && back.matches(c.Table, r) == no {
				continue
			}
			for _, s := range r.Statements {
				if member(member(member(s["mangle"], "key"), key), "key") != "mark" {
					continue
				}
				for _, p := range packets {
					mark, known := evaluate(member(s["mangle"], "value"), marks{packet: p, connection: new(uint32)})
					if known && mark != 0 && len(out) < maxMarkings && !slices.Contains(out, mark) {
						out = append(out, mark)
					}
				}
			}
		}
	}
	return out
}

// reversed returns a packet that answers this one.
func (p Packet) reversed() Packet {
	p.In, p.Out, p.InPorts, p.OutPorts = p.Out, p.In, p.OutPorts, p.InPorts
	p.Source, p.Destination, p.Sources, p.Destinations = p.Destination, p.Source, p.Destinations, p.Sources
	p.SourcePort, p.DestinationPort, p.Here, p.Bare = p.DestinationPort, p.SourcePort, false, false
	return p
}

// String returns the rule with its base chain.
func (m Marking) String() string { return fmt.Sprintf("%s in chain %s", m.By, m.Chain) }
