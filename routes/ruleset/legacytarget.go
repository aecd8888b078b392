package ruleset

import (
	"slices"
	"strconv"
	"strings"
)

// legacyQueue returns the statement for a target that queues packets.
func legacyQueue(options []string) Statement {
	queue := map[string]any{"num": float64(0)}
	for i, option := range options {
		value := ""
		if i+1 < len(options) {
			value = options[i+1]
		}
		switch option {
		case "--queue-num":
			queue["num"] = legacyNumber(value)
		case "--queue-balance":
			first, last, _ := strings.Cut(value, ":")
			queue["num"] = map[string]any{"range": []any{legacyNumber(first), legacyNumber(last)}}
		case "--queue-bypass":
			queue["flags"] = "bypass"
		}
	}
	return Statement{"queue": queue}
}

// legacyNumber returns a number, or nil.
func legacyNumber(text string) any {
	if number, err := strconv.ParseUint(text, 0, 32); err == nil {
		return float64(number)
	}
	return nil
}

// legacyConnectionMark returns the statement of the target CONNMARK.
func legacyConnectionMark(options []string) Statement {
	packet, connection := map[string]any{"meta": map[string]any{"key": "mark"}}, map[string]any{"ct": map[string]any{"key": "mark"}}
	after := func(option string) any {
		if i := slices.Index(options, option); i >= 0 && i+1 < len(options) {
			return legacyNumber(options[i+1])
		}
		return float64(AllBits)
	}
	merge := func(to any, kept any, from any, taken any) Statement {
		mask, ok := kept.(float64)
		if _, ok2 := taken.(float64); !ok || !ok2 {
			return Statement{"xt": map[string]any{"type": "target", "name": "CONNMARK"}}
		}
		merged := []any{map[string]any{"&": []any{to, AllBits - mask}}, map[string]any{"&": []any{from, taken}}}
		return Statement{"mangle": map[string]any{"key": to, "value": map[string]any{"^": merged}}}
	}
	switch i := slices.Index(options, "--set-xmark"); {
	case i >= 0 && i+1 < len(options):
		return legacySetMark(connection, options[i+1])
	case slices.Contains(options, "--save-mark"):
		return merge(connection, after("--ctmask"), packet, after("--nfmask"))
	default:
		return merge(packet, after("--nfmask"), connection, after("--ctmask"))
	}
}

// legacySetMark returns the statement that sets a mark, of a packet or a connection, or bits
// of it.
func legacySetMark(key any, text string) Statement {
	number, bits, masked := strings.Cut(text, "/")
	value, mask := legacyNumber(number), legacyNumber(bits)
	if !masked {
		mask = float64(AllBits)
	}
	m, ok := mask.(float64)
	if value == nil || !ok {
		return Statement{"xt": map[string]any{"type": "target", "name": "MARK"}}
	}
	set := value
	if m != AllBits {
		set = map[string]any{"^": []any{map[string]any{"&": []any{key, AllBits - m}}, value}}
	}
	return Statement{"mangle": map[string]any{"key": key, "value": set}}
}

// echoType returns the name of a type of ICMP: those that a Packet has, or any other text.
func echoType(value, request, reply string) any {
	switch kind, _, _ := strings.Cut(value, "/"); kind {
	case request:
		return "echo-request"
	case reply:
		return "echo-reply"
	case "255", "any":
		return map[string]any{"set": []any{"echo-request", "echo-reply"}}
	default:
		return "type " + kind
	}
}

// quotedWords splits a rule into words as iptables-restore does.
func quotedWords(text string) []string {
	var out []string
	var word strings.Builder
	quoted, escaped, some := false, false, false
	for _, r := range text {
		switch {
		case escaped:
			word.WriteRune(r)
			escaped = false
		case r == '\\' && quoted:
			escaped = true
		case r == '"':
			quoted, some = !quoted, true
		case r == ' ' && !quoted:
			if some || word.Len() > 0 {
				out = append(out, word.String())
			}
			word.Reset()
			some = false
		default:
			word.WriteRune(r)
		}
	}
	if some || word.Len() > 0 {
		out = append(out, word.String())
	}
	return out
}
