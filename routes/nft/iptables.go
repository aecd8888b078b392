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
	"strconv"
	"strings"

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

// queues returns the queues of packets from which programs read, in the network namespace of
// the calling thread. The file is missing if none ever has.
func queues() ([]uint16, error) {
	text, err := os.ReadFile("/proc/thread-self/net/netfilter/nfnetlink_queue")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read the queues of packets: %w", err)
	}
	var out []uint16
	for line := range strings.Lines(string(text)) {
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		if number, err := strconv.ParseUint(words[0], 10, 16); err == nil {
			out = append(out, uint16(number))
		}
	}
	return out, nil
}
