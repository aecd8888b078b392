package ruleset

import (
	"math"
	"slices"
	"strconv"
	"strings"
)

// Mark is what is known of the mark of a packet: the bits of Known, which those of Value
// have. The zero value is a mark of which nothing is known.
type Mark struct{ Value, Known uint32 }

// AllBits is for a mark that is known completely.
const AllBits = math.MaxUint32

// rawPriority is that of Meshway's chain that marks packets of the underlay.
const rawPriority = -300

// compareMark compares the mark of a packet, or bits of it, with numbers; false: left is
// no mark, or nothing is known of it.
func (p Packet) compareMark(left, right any) (result truth, isMark bool) {
	mask := uint32(AllBits)
	if operands, ok := member(left, "&").([]any); ok && len(operands) == 2 {
		bits, ok := number(operands[1])
		if !ok {
			return no, false
		}
		left, mask = operands[0], bits
	}
	if member(member(left, "meta"), "key") != "mark" || p.Mark.Known == 0 {
		return no, false
	}
	return within(right, func(element any) truth {
		if bounds, ok := member(element, "range").([]any); ok && len(bounds) == 2 && mask&^p.Mark.Known == 0 {
			return inRange(strconv.FormatUint(uint64(p.Mark.Value&mask), 10), bounds[0], bounds[1])
		}
		value, ok := number(element)
		switch {
		case !ok:
			return some
		case value&^mask != 0 || (value^p.Mark.Value)&mask&p.Mark.Known != 0:
			return no
		case mask&^p.Mark.Known == 0:
			return yes
		default:
			return some
		}
	}), true
}

// number returns a number of 32 bits.
func number(v any) (uint32, bool) {
	f, ok := v.(float64)
	if !ok || f < 0 || f > AllBits || f != math.Trunc(f) {
		return 0, false
	}
	return uint32(f), true
}

// withMark returns the packet without those bits of its mark that a rule of another program
// may change. Chains that translate addresses are not read; those of kube-proxy and container
// engines mark no packets of this host.
func (r Ruleset) withMark(p Packet, walkOf func(Packet) walk) Packet {
	unmarked := p
	unmarked.Mark = Mark{}
	if walkOf(p).policies && !slices.Contains(p.Hooks, "output") {
		p.Mark.Known &= p.Mark.Value // programs of the kernel may mark what arrives
	}
	for _, c := range r.Chains {
		if p.Mark.Known == 0 {
			break
		}
		seen, passes := unmarked.at(c)
		if c.Hook == "" {
			seen, passes = unmarked, true
		}
		if !passes {
			continue
		}
		w := walkOf(seen)
		for _, rule := range c.Rules {
			if bits := w.marks(c.Table, rule); bits != 0 && w.matches(c.Table, rule) != no {
				p.Mark.Known &^= bits
			}
		}
	}
	return p
}

// marks returns the bits of the mark of a packet that a rule may change.
func (w walk) marks(t Table, r Rule) uint32 {
	var bits uint32
	for _, s := range r.Statements {
		switch kind, content := s.kind(); kind {
		case "mangle":
			if member(member(member(content, "key"), "meta"), "key") == "mark" {
				bits |= changed(member(content, "value"))
			}
		case "xt":
			name, _ := member(content, "name").(string)
			keeps := slices.Contains(passingTargets(), name) && !strings.HasSuffix(name, "MARK") || name == "REJECT" || name == "DROP"
			if member(content, "type") == "target" && !keeps {
				bits = AllBits
			}
		case "jump", "goto":
			target, _ := member(content, "target").(string)
			if _, known := w.chains[Chain{Table: t, Name: target}.String()]; !known {
				bits = AllBits
			}
		case "vmap":
			if _, known := member(w.resolve(t, member(content, "data")), "set").([]any); !known {
				bits = AllBits
			}
		}
	}
	return bits
}

// changed returns the bits that the value of a statement which sets a mark may change.
func changed(value any) uint32 {
	var bits uint32
	for _, ofConnection := range []uint32{0, AllBits} {
		ofNone, ok := evaluate(value, marks{connection: &ofConnection})
		ofAll, ok2 := evaluate(value, marks{packet: AllBits, connection: &ofConnection})
		if !ok || !ok2 {
			return AllBits
		}
		bits |= ofNone | ^ofAll
	}
	return bits
}

// marks are those of a packet and of its connection; nil: that is not known.
type marks struct {
	packet     uint32
	connection *uint32
}

// evaluate returns what a packet with marks gets as its mark; false: it is not known.
func evaluate(value any, of marks) (uint32, bool) {
	if member(member(value, "meta"), "key") == "mark" {
		return of.packet, true
	}
	if member(member(value, "ct"), "key") == "mark" && of.connection != nil {
		return *of.connection, true
	}
	for operator, apply := range map[string]func(a, b uint32) uint32{
		"|": func(a, b uint32) uint32 { return a | b }, "^": func(a, b uint32) uint32 { return a ^ b }, "&": func(a, b uint32) uint32 { return a & b },
	} {
		operands, ok := member(value, operator).([]any)
		if !ok || len(operands) != 2 {
			continue
		}
		a, ok := evaluate(operands[0], of)
		b, ok2 := evaluate(operands[1], of)
		return apply(a, b), ok && ok2
	}
	return number(value)
}
