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
// zones, and the option multicluster (CoreDNS 1.12.2 and newer). Applied to its
// own result it changes nothing.
func Enable(text string) (string, error) {
	lines := strings.Split(text, "\n")
	at, header := find(lines)
	if at < 0 {
		return "", ErrNoKubernetes
	}
	if !servesAll(header) {
		return "", fmt.Errorf("the server block %q does not answer for %s: add %s to it", strings.TrimSpace(header), Zone, Zone)
	}
	directive, block := strings.CutSuffix(strings.TrimRight(lines[at], " \t"), "{")
	indent := directive[:len(directive)-len(strings.TrimLeft(directive, " \t"))]
	lines[at] = indent + strings.Join(withZone(strings.Fields(directive)), " ") + " {"
	inner := indent + "    "
	if !block {
		return strings.Join(slices.Insert(lines, at+1, inner+option(), indent+"}"), "\n"), nil
	}
	for _, line := range lines[at+1:] {
		fields := strings.Fields(line)
		if len(fields) > 0 && fields[0] == "}" {
			break
		}
		if len(fields) > 1 && fields[0] == "multicluster" && slices.Contains(fields[1:], Zone) {
			return strings.Join(lines, "\n"), nil
		}
	}
	return strings.Join(slices.Insert(lines, at+1, inner+option()), "\n"), nil
}

func option() string { return "multicluster " + Zone }

// find gives the line of the first kubernetes plugin, and the header of its
// server block.
func find(lines []string) (at int, header string) {
	depth := 0
	for i, line := range lines {
		fields := strings.Fields(line)
		if len(fields) == 0 || strings.HasPrefix(fields[0], "#") {
			continue
		}
		if depth == 0 {
			header = line
		}
		if depth == 1 && fields[0] == "kubernetes" {
			return i, header
		}
		depth += strings.Count(line, "{") - strings.Count(line, "}")
	}
	return -1, ""
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
