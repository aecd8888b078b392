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
	Some   bool // the rule is for some of the packets for which the packet stands
}

// Markings returns the rules that mark an unmarked packet. Of those that apply to all
// packets, it is only the last one, because it decides. A rule that may not apply, or that
// sets a mark which is not known, is left out.
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
	m := marker{}
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
	return slices.DeleteFunc(m.found[:min(len(m.found), maxMarkings)], func(each Marking) bool { return each.Mark == 0 })
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
	mark    uint32   // that it certainly has
	certain *Marking // that has set it
	found   []Marking
	visited map[string]truth // chains, with which of the packets came there
	ended   end
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

// set notes what a rule sets as the mark.
func (m *marker) set(c Chain, r Rule, matches truth, value any) {
	mark, known := evaluate(value, m.mark)
	if !known || mark == m.mark {
		return
	}
	found := Marking{Chain: m.base.String(), By: r.cause(c, m.base), Handle: r.Handle, In: c.String(), Mark: mark, Some: matches != yes}
	if matches != yes {
		if len(m.found) < maxMarkings {
			m.found = append(m.found, found)
		}
		return
	}
	m.mark, m.certain = mark, &found
	m.packet.Mark = Mark{Value: mark, Known: AllBits}
}

// String returns the rule with its base chain.
func (m Marking) String() string { return fmt.Sprintf("%s in chain %s", m.By, m.Chain) }
