package ruleset

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// Classes groups what the rules of others do not distinguish: a packet to one of several
// prefixes stands for those to the others, if no rule has an address that is in one of
// them only.
type Classes struct {
	ranges    []addressRange // sorted by their first address
	names     map[string]bool
	wildcards []string
}

// addressRange is the addresses of an element of a rule or set.
type addressRange struct{ first, last netip.Addr }

// Classes returns the classes of the rules.
func (r Ruleset) Classes() Classes {
	c := Classes{names: map[string]bool{}}
	for _, chain := range r.Chains {
		for _, device := range chain.Devices {
			c.add(device)
		}
		for _, rule := range chain.Rules {
			for _, s := range rule.Statements {
				c.add(map[string]any(s))
			}
		}
	}
	for _, elements := range r.Sets {
		c.add(elements)
	}
	for _, set := range r.Ipsets {
		c.add(set.Elements)
	}
	slices.SortFunc(c.ranges, func(a, b addressRange) int {
		if order := a.first.Compare(b.first); order != 0 {
			return order
		}
		return a.last.Compare(b.last)
	})
	c.ranges = slices.Compact(c.ranges)
	return c
}

// add adds the addresses and names in a part of what nft prints as JSON.
func (c *Classes) add(v any) {
	switch v := v.(type) {
	case string:
		if a, err := netip.ParseAddr(v); err == nil {
			c.ranges = append(c.ranges, addressRange{a, a})
		} else if prefix, ok := strings.CutSuffix(v, "*"); ok {
			c.wildcards = append(c.wildcards, prefix)
		} else {
			c.names[v] = true
		}
	case []any:
		for _, element := range v {
			c.add(element)
		}
	case map[string]any:
		if c.addRange(v) {
			return
		}
		for _, content := range v {
			c.add(content)
		}
	}
}

// addRange adds a prefix or range of addresses; false: v is none.
func (c *Classes) addRange(v map[string]any) bool {
	if prefix := v["prefix"]; prefix != nil {
		text, _ := member(prefix, "addr").(string)
		bits, _ := member(prefix, "len").(float64)
		a, err := netip.ParseAddr(text)
		if p := netip.PrefixFrom(a, int(bits)); err == nil && p.IsValid() {
			c.ranges = append(c.ranges, addressRange{p.Masked().Addr(), lastOf(p)})
			return true
		}
	}
	bounds, ok := v["range"].([]any)
	if !ok || len(bounds) != 2 {
		return false
	}
	first, _ := bounds[0].(string)
	last, _ := bounds[1].(string)
	a, err := netip.ParseAddr(first)
	b, err2 := netip.ParseAddr(last)
	if err != nil || err2 != nil {
		return false
	}
	c.ranges = append(c.ranges, addressRange{a, b})
	return true
}

// OfPrefix returns the class of a prefix.
func (c Classes) OfPrefix(p netip.Prefix) string {
	first, last := p.Masked().Addr(), lastOf(p)
	var class []byte
	for i, r := range c.ranges {
		if last.Less(r.first) {
			break
		}
		if r.last.Less(first) {
			continue
		}
		class = strconv.AppendInt(class, int64(i), 36)
		if r.first.Compare(first) <= 0 && last.Compare(r.last) <= 0 {
			class = append(class, '=') // all of it
		} else {
			class = append(class, '+')
		}
	}
	return string(class)
}

// OfDevice returns the class of the name of a device.
func (c Classes) OfDevice(name string) string {
	if c.names[name] {
		return name
	}
	var class []byte
	for i, prefix := range c.wildcards {
		if strings.HasPrefix(name, prefix) {
			class = append(strconv.AppendInt(class, int64(i), 36), '*')
		}
	}
	return string(class)
}
