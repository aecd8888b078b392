package ruleset

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Ruleset is the part of the rules of other programs that may drop packets: base
// chains, and those to which they lead.
type Ruleset struct {
	Chains []Chain
	// Names are the names of all chains of each table, by Table.String, as far as they are known,
	// also of those that are not in Chains. They show which program owns a table.
	Names map[string][]string
	// Sets are the elements of named sets and maps, as nft prints them as JSON, by the table
	// and name: "ip filter blocked". One that is not read is missing.
	Sets map[string][]any `json:",omitempty"`
	// Changing are those of Sets that packets or time change, by the same keys.
	Changing map[string]bool `json:",omitempty"`
	// Queues are the queues of packets from which a program reads.
	Queues []uint16 `json:",omitempty"`
	// Ipsets are the sets of the program ipset to which rules refer, by name. One that is not
	// read is missing.
	Ipsets map[string]Ipset `json:",omitempty"`
	// Unread is why rules of iptables-legacy are missing; empty: none are.
	Unread string `json:",omitempty"`
	// Stale is set if the rules have changed since they were read.
	Stale bool
}

// Table is a table of nftables, or of iptables before it used nftables.
type Table struct {
	Family, Name string
	Legacy       bool `json:",omitempty"` // of iptables-legacy
}

// String returns the table as nft has it in its commands: "ip filter".
func (t Table) String() string {
	if t.Legacy {
		return t.Family + " " + t.Name + " of iptables-legacy"
	}
	return t.Family + " " + t.Name
}

// Chain is a chain with its rules.
type Chain struct {
	Table    Table
	Name     string
	Type     string // of a base chain: "filter"
	Hook     string // of a base chain: "forward"; empty: it is none
	Policy   string // of a base chain: "accept" or "drop"
	Priority int    `json:",omitempty"` // of a base chain
	// Devices are those of a base chain of hook ingress or egress, as far as they are known;
	// a name may end with *.
	Devices []string `json:",omitempty"`
	Rules   []Rule
}

// String returns the chain as nft has it in its commands: "ip filter FORWARD".
func (c Chain) String() string { return c.Table.String() + " " + c.Name }

// Filters reports whether the chain is a base chain that may drop packets to, from
// or through the host.
func (c Chain) Filters() bool {
	if c.Type != "filter" && c.Type != "route" {
		return false
	}
	switch c.Table.Family {
	case "netdev":
		return c.OfDevices()
	case "ip", "ip6", "inet", "bridge":
		return c.Hook == "ingress" || slices.Contains([]string{"prerouting", "input", "forward", "output", "postrouting"}, c.Hook)
	default:
		return false
	}
}

// OfDevices reports whether the chain is a base chain of certain devices.
func (c Chain) OfDevices() bool { return c.Hook == "ingress" || c.Hook == "egress" }

// Rule is a rule of a chain.
type Rule struct {
	Handle     int
	Text       string      // as nft prints it
	Statements []Statement // as nft prints them as JSON
}

// Statement is an object with one member: the kind of the statement, and its
// content (libnftables-json(5)).
type Statement map[string]any

// Volatile reports whether what the rules do changes although nft does not list another
// generation of them: with elements that packets or time change, sets of the program ipset,
// and programs that read queues.
func (r Ruleset) Volatile() bool {
	return len(r.Changing) > 0 || len(r.Ipsets) > 0 || slices.ContainsFunc(r.Chains, func(c Chain) bool {
		return slices.ContainsFunc(c.Rules, func(rule Rule) bool {
			return slices.ContainsFunc(rule.Statements, func(s Statement) bool {
				kind, _ := s.kind()
				return kind == "queue"
			})
		})
	})
}

// kind returns the kind of a statement and its content.
func (s Statement) kind() (string, any) {
	for kind, content := range s {
		return kind, content
	}
	return "", nil
}

// Targets returns the names of the chains to which a chain leads by its rules and its
// verdict maps, as far as these are in Sets.
func (r Ruleset) Targets(c Chain) []string {
	var out []string
	for _, rule := range c.Rules {
		for _, s := range rule.Statements {
			out = append(out, targets(s)...)
		}
	}
	for _, name := range c.NamedMaps() {
		out = append(out, targets(r.Sets[c.Table.String()+" "+name])...)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// NamedSets returns the names of the sets that the chain's rules compare with, sorted.
func (c Chain) NamedSets() []string {
	return c.named(func(s Statement) any { return member(s["match"], "right") })
}

// NamedMaps returns the names of the maps of verdicts and marks of the chain's rules, sorted.
func (c Chain) NamedMaps() []string {
	return c.named(func(s Statement) any {
		return cmp.Or(member(s["vmap"], "data"), member(member(member(s["mangle"], "value"), "map"), "data"))
	})
}

// named returns what a part of the statements refers to.
func (c Chain) named(part func(Statement) any) []string {
	var out []string
	for _, r := range c.Rules {
		for _, s := range r.Statements {
			if name, ok := part(s).(string); ok && strings.HasPrefix(name, "@") {
				out = append(out, name[1:])
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// targets returns the names of the chains to which a statement, or a part of one,
// leads: a verdict, or those of a verdict map.
func targets(v any) []string {
	var out []string
	switch v := v.(type) {
	case Statement:
		return targets(map[string]any(v))
	case []any:
		for _, element := range v {
			out = append(out, targets(element)...)
		}
	case map[string]any:
		for kind, content := range v {
			if target, ok := member(content, "target").(string); ok && (kind == "jump" || kind == "goto") {
				out = append(out, target)
			} else {
				out = append(out, targets(content)...)
			}
		}
	}
	return out
}

// member returns a member of an object; nil: v is no object or does not have it.
func member(v any, name string) any {
	object, _ := v.(map[string]any)
	return object[name]
}

// Drop is a base chain that drops a packet.
type Drop struct {
	Chain Chain
	By    string // "its policy drop", "the rule …"
	Some  bool   // it drops some of the packets for which the packet stands, or may drop them
}

// ofPolicies reports whether a program has the chain for policies of pods, or for packets
// that it marks: what these drop is intended, and not for all pods.
func (c Chain) ofPolicies() bool {
	return slices.ContainsFunc([]string{"cali", "KUBE-", "CILIUM_", "OLD_CILIUM_", "WEAVE", "ANTREA-", "FLANNEL"}, func(prefix string) bool {
		return strings.HasPrefix(c.Name, prefix)
	})
}

// cause returns the rule in the form of Drop.By.
func (r Rule) cause(in, base Chain) string {
	text := r.Text
	if text == "" {
		text = fmt.Sprintf("with handle %d", r.Handle)
	} else {
		text = fmt.Sprintf("%q", text)
	}
	if in.Name != base.Name {
		return fmt.Sprintf("the rule %s of chain %s", text, in.Name)
	}
	return "the rule " + text
}
