// Package corefile teaches a CoreDNS configuration the names of imported
// services. It is pure text: what it does not have to change stays as it is.
package corefile

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Zone is where imported services have their names (KEP-1645, DNS specification).
const Zone = "clusterset.local"

// ErrNoKubernetes says that there is nothing to extend.
var ErrNoKubernetes = errors.New("the Corefile has no kubernetes plugin")

// Enable makes the kubernetes plugin answer for Zone: the zone among the plugin's
// zones, and the option multicluster (CoreDNS 1.12.2 and newer). A cache beside it
// keeps nothing of the zone. Applied to its own result it changes nothing.
func Enable(text string) (string, error) {
	lines := strings.Split(text, "\n")
	block, at := find(lines, "kubernetes")
	if at < 0 {
		return "", ErrNoKubernetes
	}
	if header := lines[block]; !servesAll(header) {
		return "", fmt.Errorf("the server block %q does not answer for %s: add %s to it", strings.TrimSpace(header), Zone, Zone)
	}
	lines = answered(lines, at)
	if cache := findIn(lines, block, "cache"); cache >= 0 {
		lines = uncached(lines, cache)
	}
	return strings.Join(lines, "\n"), nil
}

// answered extends the kubernetes plugin, which is in line at.
func answered(lines []string, at int) []string {
	directive, block := strings.CutSuffix(strings.TrimRight(lines[at], " \t"), "{")
	indent := directive[:len(directive)-len(strings.TrimLeft(directive, " \t"))]
	lines[at] = indent + strings.Join(withZone(strings.Fields(directive)), " ") + " {"
	inner := indent + "    "
	if !block {
		return slices.Insert(lines, at+1, inner+option(), indent+"}")
	}
	if has := property(lines, at, "multicluster"); has >= 0 && slices.Contains(strings.Fields(lines[has]), Zone) {
		return lines
	}
	return slices.Insert(lines, at+1, inner+option())
}

// property finds the line of a plugin's block that begins so; -1: there is none.
func property(lines []string, at int, words ...string) int {
	for i, line := range lines[at+1:] {
		fields := strings.Fields(line)
		if len(fields) > 0 && fields[0] == "}" {
			break
		}
		if len(fields) >= len(words) && slices.Equal(fields[:len(words)], words) {
			return at + 1 + i
		}
	}
	return -1
}

// Disable takes Zone out of the plugins of the server block in which Enable put
// it. Without a kubernetes plugin there is nothing to take back.
func Disable(text string) string {
	lines := strings.Split(text, "\n")
	block, at := find(lines, "kubernetes")
	if at < 0 {
		return text
	}
	kept, depth := lines[:block+1:block+1], 1
	for i, line := range lines[block+1:] {
		depth += strings.Count(line, "{") - strings.Count(line, "}")
		if depth == 0 {
			return strings.Join(append(kept, lines[block+1+i:]...), "\n")
		}
		if line, needed := withoutZone(line); needed {
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, "\n")
}

// withoutZone is false for a line that said something of Zone only: without any
// zone it would hold for all.
func withoutZone(line string) (string, bool) {
	fields := strings.Fields(line)
	if !slices.Contains(fields, Zone) {
		return line, true
	}
	rest := slices.DeleteFunc(fields, func(f string) bool { return f == Zone })
	if rest[0] == "multicluster" && len(rest) == 1 || rest[0] == "disable" && len(rest) == 2 {
		return "", false
	}
	return strings.Replace(line, " "+Zone, "", 1), true
}

func option() string { return "multicluster " + Zone }

// uncached makes the cache, which is in line at, keep neither answers nor denials
// of Zone, as kubeadm has it for the cluster's own: both come from memory anyway,
// and whoever asks for a name before it is imported would wait for the
// end of the denial, 30 s with kubeadm's Corefile.
func uncached(lines []string, at int) []string {
	indent := lines[at][:len(lines[at])-len(strings.TrimLeft(lines[at], " \t"))]
	if !strings.HasSuffix(strings.TrimSpace(lines[at]), "{") {
		lines[at] = strings.TrimRight(lines[at], " \t") + " {"
		lines = slices.Insert(lines, at+1, indent+"}")
	}
	for _, kind := range []string{"denial", "success"} {
		has := property(lines, at, "disable", kind)
		if has < 0 {
			lines = slices.Insert(lines, at+1, indent+"    disable "+kind+" "+Zone)
			continue
		}
		// Without zones it is disabled for all. Of two lines the last would count.
		if zones := strings.Fields(lines[has])[2:]; len(zones) > 0 && !slices.Contains(zones, Zone) {
			lines[has] = strings.TrimRight(lines[has], " \t") + " " + Zone
		}
	}
	return lines
}

// find gives the lines of the first server block's header and of the plugin in it,
// of those blocks that have the plugin; -1: none has.
func find(lines []string, plugin string) (block, at int) {
	for block := range lines {
		if at := findIn(lines, block, plugin); at >= 0 {
			return block, at
		}
	}
	return -1, -1
}

// findIn gives the line of a plugin in the server block that begins in line
// block; -1: it has no such plugin, or no block begins there.
func findIn(lines []string, block int, plugin string) int {
	depth, header := 0, -1
	for i, line := range lines {
		fields := strings.Fields(line)
		if len(fields) == 0 || strings.HasPrefix(fields[0], "#") {
			continue
		}
		if depth == 0 {
			header = i
		}
		if depth == 1 && header == block && fields[0] == plugin {
			return i
		}
		depth += strings.Count(line, "{") - strings.Count(line, "}")
	}
	return -1
}

// servesAll says whether a server block answers for the root, or for Zone.
func servesAll(header string) bool {
	for _, key := range strings.FieldsFunc(header, func(r rune) bool { return r == ' ' || r == ',' || r == '\t' || r == '{' }) {
		_, key = cutScheme(key)
		zone, _, _ := strings.Cut(key, ":")
		if zone == "." || zone == "" || strings.TrimSuffix(zone, ".") == Zone {
			return true
		}
	}
	return false
}

func cutScheme(key string) (scheme, rest string) {
	if before, after, found := strings.Cut(key, "://"); found {
		return before, after
	}
	return "", key
}

// withZone puts Zone behind the forward zones, before those of reverse lookups.
func withZone(fields []string) []string {
	if slices.Contains(fields, Zone) {
		return fields
	}
	at := slices.IndexFunc(fields, func(f string) bool { return strings.HasSuffix(strings.TrimSuffix(f, "."), ".arpa") })
	if at < 0 {
		at = len(fields)
	}
	if at == 1 && len(fields) == 1 {
		return append(fields, "cluster.local", Zone)
	}
	return slices.Insert(fields, at, Zone)
}

// Diff gives the lines that differ, marked by - and +, and of the others those
// that are next to them.
func Diff(before, after string) string {
	old, now := strings.Split(before, "\n"), strings.Split(after, "\n")
	var out strings.Builder
	i, j := 0, 0
	for i < len(old) || j < len(now) {
		switch {
		case i < len(old) && j < len(now) && old[i] == now[j]:
			fmt.Fprintf(&out, "  %s\n", old[i])
			i, j = i+1, j+1
		case i < len(old) && !slices.Contains(now[j:], old[i]):
			fmt.Fprintf(&out, "- %s\n", old[i])
			i++
		default:
			fmt.Fprintf(&out, "+ %s\n", now[j])
			j++
		}
	}
	return out.String()
}
