//go:build linux

package nft

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/meshway/meshway/routes/ruleset"
)

// legacyInterval is how often the rules of iptables-legacy are read while it has any, and
// the sets of ipset while a rule refers to one: they have no generation.
const legacyInterval = 30 * time.Second

// legacyTables returns the tables of iptables-legacy that may drop packets, in the
// network namespace of the calling thread. Reading their names loads no module.
func legacyTables() ([]ruleset.Table, error) {
	var out []ruleset.Table
	for _, family := range []string{"ip", "ip6"} {
		names, err := os.ReadFile("/proc/thread-self/net/" + family + "_tables_names")
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // the module is not loaded
			return nil, fmt.Errorf("read the tables of iptables-legacy: %w", err)
		}
		for name := range strings.FieldsSeq(string(names)) {
			if slices.Contains([]string{"filter", "mangle", "raw", "security"}, name) {
				out = append(out, ruleset.Table{Family: family, Name: name, Legacy: true})
			}
		}
	}
	return out, nil
}

// addLegacy adds the rules of the tables of iptables-legacy. Without its programs, they
// are missing.
func addLegacy(ctx context.Context, tables []ruleset.Table, out *ruleset.Ruleset) {
	for _, t := range tables {
		listing, err := saveLegacy(ctx, t)
		if err != nil {
			out.Unread = err.Error()
			continue
		}
		chains := ruleset.ParseLegacy(t, listing)
		for _, c := range chains {
			out.Names[t.String()] = append(out.Names[t.String()], c.Name)
		}
		out.Chains = append(out.Chains, chains...)
	}
}

// saveLegacy returns the rules of a table as text.
func saveLegacy(ctx context.Context, t ruleset.Table) (string, error) {
	program := map[string]string{"ip": "iptables-legacy-save", "ip6": "ip6tables-legacy-save"}[t.Family]
	out, err := exec.CommandContext(ctx, program, "-t", t.Name).Output()
	if err != nil {
		return "", fmt.Errorf("read table %s with %s: %w", t, program, err)
	}
	return string(out), nil
}
