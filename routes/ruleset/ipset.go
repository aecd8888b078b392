package ruleset

import (
	"slices"
	"strings"
)

// Ipset is a set of the program ipset.
type Ipset struct {
	Type string // "hash:net,port"
	// Elements are those of a set of nft with the same content: each is a concatenation, if
	// the type has several parts, of which a port has two, its protocol and number.
	Elements []any
	// Changes is set if packets or time change the set.
	Changes bool `json:",omitempty"`
}

// ipset reports whether the packet is in the set of a match.
func (w walk) ipset(content any) truth {
	name, _ := member(content, "name").(string)
	set, known := w.Ipsets[name]
	if !known {
		return some
	}
	directions, _ := member(content, "directions").(string)
	fields, ok := set.fields(strings.Split(directions, ","), w.packet.is6())
	if !ok {
		return some
	}
	left := fields[0]
	if len(fields) > 1 {
		left = map[string]any{"concat": fields}
	}
	result := w.packet.compare(left, "==", map[string]any{"set": set.Elements})
	if set.Changes && result != no {
		result = some
	}
	if member(content, "not") == true {
		return result.not()
	}
	return result
}

// fields returns the fields of a packet that are compared with the parts of an element;
// false: not all are known.
func (s Ipset) fields(directions []string, is6 bool) ([]any, bool) {
	_, parts, ok := strings.Cut(s.Type, ":")
	if !ok {
		return nil, false
	}
	family := "ip"
	if is6 {
		family = "ip6"
	}
	var out []any
	for i, part := range strings.Split(parts, ",") {
		if i >= len(directions) {
			return nil, false
		}
		field := map[string]string{"src": "s", "dst": "d"}[directions[i]]
		switch {
		case field == "":
			return nil, false
		case part == "ip" || part == "net":
			out = append(out, map[string]any{"payload": map[string]any{"protocol": family, "field": field + "addr"}})
		case part == "port":
			out = append(out, map[string]any{"meta": map[string]any{"key": "l4proto"}}, map[string]any{"payload": map[string]any{"protocol": "th", "field": field + "port"}})
		default:
			return nil, false
		}
	}
	return out, true
}

// OfIptables reports whether iptables may have the table.
func (t Table) OfIptables() bool {
	return !t.Legacy && (t.Family == "ip" || t.Family == "ip6") && slices.Contains([]string{"filter", "mangle", "raw", "security"}, t.Name)
}

// HasExtensions reports whether a rule of the chain has a match or a target that nft does
// not print.
func (c Chain) HasExtensions() bool { return slices.ContainsFunc(c.Rules, Rule.hasExtension) }

func (r Rule) hasExtension() bool {
	return slices.ContainsFunc(r.Statements, func(s Statement) bool {
		name := member(s["xt"], "name")
		return member(s["xt"], "type") == "match" && name != "comment" || name == "NFQUEUE" || name == "MARK" || name == "CONNMARK"
	})
}

// WithExtensions returns the chain with those rules of saved, the same chain in the output
// of iptables-save, that have a match or a target that nft does not print. The rules are in the same
// order; if their number differs, they have changed in between.
func (c Chain) WithExtensions(saved Chain) Chain {
	if len(saved.Rules) != len(c.Rules) {
		return c
	}
	c.Rules = slices.Clone(c.Rules)
	for i, r := range c.Rules {
		if r.hasExtension() {
			c.Rules[i].Text, c.Rules[i].Statements = saved.Rules[i].Text, saved.Rules[i].Statements
		}
	}
	return c
}

// NamedIpsets returns the names of the sets of the program ipset to which the chain's rules
// refer, sorted.
func (c Chain) NamedIpsets() []string {
	var out []string
	for _, r := range c.Rules {
		for _, s := range r.Statements {
			if name, ok := member(s["ipset"], "name").(string); ok {
				out = append(out, name)
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}
