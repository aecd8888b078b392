package ruleset

import "slices"

// compareFlags compares flags of TCP under a mask, if they are known: the first packet of a
// connection has the flag SYN.
func (p Packet) compareFlags(left, right any) (result truth, isFlags bool) {
	operands, _ := member(left, "&").([]any)
	if len(operands) != 2 || member(member(operands[0], "payload"), "field") != "flags" || p.Protocol != "tcp" || !slices.Contains(p.States, "new") {
		return no, false
	}
	mask, ok := flagNames(operands[1])
	want, ok2 := flagNames(right)
	if !ok || !ok2 {
		return maybe, true
	}
	var have []string
	if slices.Contains(mask, "syn") {
		have = []string{"syn"}
	}
	return truthOf(slices.Equal(have, want)), true
}

// flagNames returns the names of flags, sorted; false: they are not known.
func flagNames(v any) ([]string, bool) {
	switch v := v.(type) {
	case string:
		return []string{v}, true
	case float64:
		return nil, v == 0
	case map[string]any:
		return flagNames(v["|"])
	case []any:
		var out []string
		for _, each := range v {
			names, ok := flagNames(each)
			if !ok {
				return nil, false
			}
			out = append(out, names...)
		}
		slices.Sort(out)
		return out, true
	default:
		return nil, false
	}
}
