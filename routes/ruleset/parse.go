package ruleset

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// object is an element of what nft prints as JSON.
type object struct {
	Table *struct {
		Family, Name string
		Flags        any
	}
	Chain *struct {
		Family, Table, Name, Type, Hook, Policy string
		Prio                                    int
	}
	Rule *struct {
		Family, Table, Chain string
		Handle               int
		Expr                 []Statement
	}
	Set, Map *struct{ Elem []any }
}

func parse(listing []byte) ([]object, error) {
	var root struct{ Nftables []object }
	if err := json.Unmarshal(listing, &root); err != nil {
		return nil, fmt.Errorf("parse the output of nft: %w", err)
	}
	return root.Nftables, nil
}

// ParseChains returns the chains in a listing of nft, with their rules as far as it
// has them.
func ParseChains(listing []byte) ([]Chain, error) {
	objects, err := parse(listing)
	if err != nil {
		return nil, err
	}
	var out []Chain
	for _, o := range objects {
		switch {
		case o.Chain != nil:
			out = append(out, Chain{
				Table: Table{Family: o.Chain.Family, Name: o.Chain.Table}, Name: o.Chain.Name,
				Type: o.Chain.Type, Hook: o.Chain.Hook, Policy: o.Chain.Policy, Priority: o.Chain.Prio,
			})
		case o.Rule != nil && len(out) > 0:
			c := &out[len(out)-1]
			if c.Name == o.Rule.Chain {
				c.Rules = append(c.Rules, Rule{Handle: o.Rule.Handle, Statements: o.Rule.Expr})
			}
		}
	}
	return out, nil
}

// ParseFlagged returns the tables in a listing that have a flag. Which one is not
// in the listing of every version of nft: 1.0.6 prints another string.
func ParseFlagged(listing []byte) ([]Table, error) {
	objects, err := parse(listing)
	if err != nil {
		return nil, err
	}
	var out []Table
	for _, o := range objects {
		if o.Table != nil && o.Table.Flags != nil {
			out = append(out, Table{Family: o.Table.Family, Name: o.Table.Name})
		}
	}
	return out, nil
}

// maxElements bounds the elements of a set: each packet is compared with all of them.
const maxElements = 4096

// ParseSet returns the elements of the set or map in a listing, and whether packets or time
// change them, which only the listing as text shows in every version of nft: what it has
// when it is read is not what it has for a packet. It reports false if there is none, or if
// it is too large.
func ParseSet(listing []byte, text string) (elements []any, changes, ok bool) {
	objects, err := parse(listing)
	if err != nil {
		return nil, false, false
	}
	for _, o := range objects {
		set := o.Set
		if set == nil {
			set = o.Map
		}
		if set != nil {
			changes = regexp.MustCompile(`(?m)^\s*flags [a-z,]*(dynamic|timeout)`).MatchString(text)
			return set.Elem, changes, len(set.Elem) <= maxElements
		}
	}
	return nil, false, false
}

// Dormant reports whether a table, as nft prints it as text, is switched off.
func Dormant(listing string) bool {
	for line := range strings.Lines(listing) {
		if flags, ok := strings.CutPrefix(strings.TrimSpace(line), "flags "); ok {
			return strings.Contains(flags, "dormant")
		}
		if strings.Contains(line, "chain ") {
			break
		}
	}
	return false
}

// WithText returns the chain with the texts of its rules, from the output of
// nft --handle. It completes what nft does not print as JSON: the devices, and the states
// of a match of the xtables extension conntrack.
func (c Chain) WithText(listing string) Chain {
	header := regexp.MustCompile(`(?m)^\s*type .* hook (?:ingress|egress) devices? (?:= \{([^}]*)\}|(\S+))`)
	if m := header.FindStringSubmatch(listing); m != nil {
		for name := range strings.SplitSeq(m[1]+m[2], ",") {
			c.Devices = append(c.Devices, strings.Trim(name, ` "`))
		}
	}
	handle := regexp.MustCompile(`^\s*(.+) # handle (\d+)$`)
	counters := regexp.MustCompile(`counter packets \d+ bytes \d+ `) // change with each packet
	texts := map[int]string{}
	for line := range strings.Lines(listing) {
		if m := handle.FindStringSubmatch(strings.TrimRight(line, "\n")); m != nil {
			if number, err := strconv.Atoi(m[2]); err == nil && !strings.HasSuffix(m[1], "{") {
				texts[number] = counters.ReplaceAllString(m[1], "")
			}
		}
	}
	c.Rules = slices.Clone(c.Rules)
	for i, r := range c.Rules {
		c.Rules[i].Text = texts[r.Handle]
		c.Rules[i].Statements = translated(r.Statements, texts[r.Handle])
	}
	return c
}

// translated replaces the match of the xtables extension by that of nftables.
func translated(statements []Statement, text string) []Statement {
	i := slices.IndexFunc(statements, func(s Statement) bool {
		name := member(s["xt"], "name")
		return name == "conntrack" || name == "state"
	})
	m := regexp.MustCompile(`\bct state (! )?([a-z,]+)`).FindStringSubmatch(text)
	if i < 0 || m == nil {
		return statements
	}
	var values []any
	for word := range strings.SplitSeq(m[2], ",") {
		values = append(values, word)
	}
	op := "in"
	if m[1] != "" {
		op = "!"
	}
	out := slices.Clone(statements)
	out[i] = Statement{"match": map[string]any{"op": op, "left": map[string]any{"ct": map[string]any{"key": "state"}}, "right": values}}
	return out
}
