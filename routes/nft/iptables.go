//go:build linux

package nft

import (
	"context"
	"os/exec"
	"slices"

	"github.com/meshway/meshway/routes/ruleset"
)

// maxIpsets bounds the sets of the program ipset that are read.
const maxIpsets = 64

// addExtensions completes the rules of iptables with extensions that nft does not print,
// as iptables-nft-save prints them. Without that program, it is not known to which packets
// these apply.
func addExtensions(ctx context.Context, out *ruleset.Ruleset) {
	var done []ruleset.Table
	for _, c := range out.Chains {
		if !c.Table.OfIptables() || !c.HasExtensions() || slices.Contains(done, c.Table) {
			continue
		}
		done = append(done, c.Table)
		program := map[string]string{"ip": "iptables-nft-save", "ip6": "ip6tables-nft-save"}[c.Table.Family]
		listing, err := exec.CommandContext(ctx, program, "-t", c.Table.Name).Output()
		if err != nil {
			continue
		}
		saved := ruleset.ParseLegacy(c.Table, string(listing))
		for i, chain := range out.Chains {
			if at := slices.IndexFunc(saved, func(s ruleset.Chain) bool { return s.String() == chain.String() }); at >= 0 {
				out.Chains[i] = chain.WithExtensions(saved[at])
			}
		}
	}
}

// addIpsets reads the sets to which rules refer, each once.
func addIpsets(ctx context.Context, out *ruleset.Ruleset) {
	for _, c := range out.Chains {
		for _, name := range c.NamedIpsets() {
			if _, known := out.Ipsets[name]; known || len(out.Ipsets) >= maxIpsets || ctx.Err() != nil {
				continue
			}
			set, ok, err := readIpset(name)
			if err != nil || !ok {
				continue
			}
			if out.Ipsets == nil {
				out.Ipsets = map[string]ruleset.Ipset{}
			}
			out.Ipsets[name] = set
		}
	}
}
