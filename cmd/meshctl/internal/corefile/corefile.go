// Package corefile adds the zone of imported services to a CoreDNS configuration
// and removes it. It edits text, and leaves all other text unchanged.
package corefile

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Zone is the DNS zone of imported services (KEP-1645, DNS specification).
const Zone = "clusterset.local"

// ErrNoKubernetes is returned for a Corefile that Enable cannot extend.
var ErrNoKubernetes = errors.New("the Corefile has no kubernetes plugin")

// Enable adds Zone to the zones of the kubernetes plugin and to its option
// multicluster (CoreDNS 1.12.2 and newer), and excludes Zone from the cache of the
// same server block. It is idempotent.
func Enable(text string) (string, error) {
	lines := strings.Split(text, "\n")
	block, at := find(lines, "kubernetes")
	if at < 0 {
		return "", ErrNoKubernetes
	}
	if header := lines[block]; !servesZone(header) {
		return "", fmt.Errorf("the server block %q does not answer for %s: add %s to it", strings.TrimSpace(header), Zone, Zone)
	}
	lines = extendKubernetes(lines, at)
	if cache := findIn(lines, block, "cache"); cache >= 0 {
		lines = excludeFromCache(lines, cache)
	}
	return strings.Join(lines, "\n"), nil
}

// extendKubernetes adds Zone to the kubernetes plugin in line at.
func extendKubernetes(lines []string, at int) []string {
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

// property returns the line that begins with words in the block of the plugin in
// line at, or -1.
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

// Disable removes Zone from the plugins of the server block to which Enable adds
// it. It returns a text without a kubernetes plugin unchanged.
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

// withoutZone removes Zone from a line. It returns false if the line has to be
// removed: an option that names only Zone would apply to all zones without it.
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

// excludeFromCache disables caching of Zone in the cache plugin in line at, as
// kubeadm does for the zone of the cluster. The plugin answers from memory anyway,
// and a name queried before its import would not exist until the cached denial
// expires, after 30 s with kubeadm's Corefile.
func excludeFromCache(lines []string, at int) []string {
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
		// Without zones it is disabled for all. A second line would override the first.
		if zones := strings.Fields(lines[has])[2:]; len(zones) > 0 && !slices.Contains(zones, Zone) {
			lines[has] = strings.TrimRight(lines[has], " \t") + " " + Zone
		}
	}
	return lines
}

// find returns the lines of the header and of the plugin of the first server block
// that has the plugin, or -1 and -1.
func find(lines []string, plugin string) (block, at int) {
	for block := range lines {
		if at := findIn(lines, block, plugin); at >= 0 {
			return block, at
		}
	}
	return -1, -1
}

// findIn returns the line of a plugin in the server block that begins in line
// block, or -1 if there is no such plugin or block.
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

// servesZone reports whether a server block answers for the root or for Zone.
func servesZone(header string) bool {
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

// withZone inserts Zone after the forward zones and before the reverse zones.
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

// Diff returns all lines of before and after, with removed lines marked by - and
// added lines by +.
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
