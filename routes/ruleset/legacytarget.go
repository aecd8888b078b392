package ruleset

import (
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
	unknown := Statement{"xt": map[string]any{"type": "target", "name": "CONNMARK"}}
	packet, connection := map[string]any{"meta": map[string]any{"key": "mark"}}, map[string]any{"ct": map[string]any{"key": "mark"}}
	masks := map[string]float64{"--nfmask": AllBits, "--ctmask": AllBits}
	kind, text := "", ""
	for i, option := range options {
		switch option {
		case "--save-mark", "--restore-mark":
			kind = option
		case "--set-xmark", "--nfmask", "--ctmask":
			if i+1 == len(options) {
				return unknown
			}
			if option == "--set-xmark" {
				kind, text = option, options[i+1]
				continue
			}
			mask, ok := legacyNumber(options[i+1]).(float64)
			if !ok {
				return unknown
			}
			masks[option] = mask
		}
	}
	ofPacket, ofConnection := masks["--nfmask"], masks["--ctmask"]
	merged := func(to any, kept float64, from any, taken float64) any {
		return map[string]any{"^": []any{map[string]any{"&": []any{to, AllBits - kept}}, map[string]any{"&": []any{from, taken}}}}
	}
	switch kind {
	case "--restore-mark":
		return Statement{"mangle": map[string]any{"key": packet, "value": merged(packet, ofPacket, connection, ofConnection)}}
	case "--save-mark":
		return Statement{"mangle": map[string]any{"key": connection, "value": merged(connection, ofConnection, packet, ofPacket)}}
	case "--set-xmark":
		if set := legacySetMark(connection, text)["mangle"]; set != nil {
			return Statement{"mangle": set}
		}
	}
	return unknown
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
