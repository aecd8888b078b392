package ruleset

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// equalsAll reports whether a field that has one of some values equals right:
// certainly if each of them does.
func equalsAll(have []string, right any) truth {
	result := maybe
	for i, value := range have {
		each := within(right, func(element any) truth { return equals(value, element) })
		if i > 0 && each != result {
			return maybe
		}
		result = each
	}
	return result
}

// within returns the greatest result for right, or for the elements of right if it
// is a set or a list.
func within(right any, equals func(element any) truth) truth {
	elements, ok := right.([]any)
	if set, isSet := member(right, "set").([]any); isSet {
		elements, ok = set, true
	}
	if !ok {
		if element := member(right, "elem"); element != nil {
			return equals(member(element, "val"))
		}
		return equals(right)
	}
	result := no
	for _, e := range elements {
		result = max(result, within(e, equals))
	}
	return result
}

// equals reports whether a value equals right, or is in it: a value, a prefix, or a
// range.
func equals(value string, right any) truth {
	switch right := right.(type) {
	case string:
		return equalsText(value, right)
	case float64:
		if number, isProtocol := protocols()[value]; isProtocol {
			return truthOf(right == number) // nft without the names of protocols
		}
		return truthOf(value == strconv.FormatFloat(right, 'f', -1, 64))
	case map[string]any:
		if prefix, ok := right["prefix"]; ok {
			return inPrefix(value, prefix)
		}
		if bounds, ok := right["range"].([]any); ok && len(bounds) == 2 {
			return inRange(value, bounds[0], bounds[1])
		}
	}
	return maybe
}

// protocols are the numbers of the protocols that a packet may have (IANA).
func protocols() map[string]float64 {
	return map[string]float64{"icmp": 1, "tcp": 6, "udp": 17, "ipv6-icmp": 58}
}

// equalsText compares with a named set, a name with a wildcard, an address, or a
// name. Numbers may be named, as ports are.
func equalsText(value, right string) truth {
	if strings.HasPrefix(right, "@") {
		return maybe // a named set that is not known
	}
	if prefix, ok := strings.CutSuffix(right, "*"); ok {
		return truthOf(strings.HasPrefix(value, prefix))
	}
	if right == "icmpv6" {
		right = "ipv6-icmp"
	}
	if a, err := netip.ParseAddr(right); err == nil {
		b, err := netip.ParseAddr(value)
		return truthOf(err == nil && a == b)
	}
	if _, err := strconv.Atoi(value); err == nil && value != right {
		return maybe
	}
	return truthOf(value == right)
}

func inPrefix(value string, prefix any) truth {
	text, _ := member(prefix, "addr").(string)
	bits, _ := member(prefix, "len").(float64)
	base, err := netip.ParseAddr(text)
	a, err2 := netip.ParseAddr(value)
	if err != nil || err2 != nil {
		return maybe
	}
	return truthOf(netip.PrefixFrom(base, int(bits)).Contains(a))
}

func inRange(value string, low, high any) truth {
	if l, ok := low.(float64); ok {
		h, ok := high.(float64)
		n, err := strconv.ParseFloat(value, 64)
		if !ok || err != nil {
			return maybe
		}
		return truthOf(l <= n && n <= h)
	}
	addresses := make([]netip.Addr, 0, 3)
	for _, v := range []any{low, value, high} {
		text, _ := v.(string)
		a, err := netip.ParseAddr(text)
		if err != nil {
			return maybe
		}
		addresses = append(addresses, a)
	}
	return truthOf(slices.IsSortedFunc(addresses, netip.Addr.Compare))
}

func truthOf(b bool) truth {
	if b {
		return yes
	}
	return no
}
