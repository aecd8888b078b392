//go:build linux

package nft

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/meshway/meshway/routes"
	"github.com/meshway/meshway/routes/ruleset"
)

const (
	// maxOtherChains bounds the chains of other programs that are read. What the
	// others do is not known then.
	maxOtherChains = 256
	// otherShare is the inverse of the part of the time that reading them may take:
	// programs such as kube-proxy change their rules often.
	otherShare = 20
	// otherTimeout is how long reading them may take. Of 10,000 services of kube-proxy
	// it takes seconds.
	otherTimeout = time.Minute
)

// others reads the rules of other programs, once for each generation of nftables. The
// zero value is ready for use.
type others struct {
	mu         sync.Mutex      // guards all following fields
	generation uint32          // of found; 0: none
	legacy     []ruleset.Table // of iptables-legacy in found
	at         time.Time       // of found
	found      ruleset.Ruleset
	err        error     // of the last reading
	reading    bool      // a goroutine reads the rules
	next       time.Time // before which they are not read again
}

// Others implements routes.Filter. It does not wait: what it returns is stale until the
// rules of the current generation have been read.
func (f *Filter) Others(ctx context.Context) (ruleset.Ruleset, error) {
	o := &f.others
	o.mu.Lock()
	defer o.mu.Unlock()
	current, err := generation()
	if err != nil {
		return ruleset.Ruleset{}, err
	}
	legacy, err := legacyTables()
	if err != nil {
		return ruleset.Ruleset{}, err
	}
	known := current == o.generation && slices.Equal(legacy, o.legacy)
	if known && (len(legacy) == 0 && !o.found.Volatile() || time.Since(o.at) < legacyInterval) {
		return o.found, nil
	}
	if !o.reading && !time.Now().Before(o.next) {
		in, err := currentNamespace()
		if err != nil {
			return ruleset.Ruleset{}, err
		}
		o.reading = true
		go o.read(context.WithoutCancel(ctx), in, current, legacy)
	}
	stale := o.found
	stale.Stale = !known
	return stale, o.err
}

// read reads the rules of a generation in a network namespace, which it closes.
func (o *others) read(ctx context.Context, in *namespace, current uint32, legacy []ruleset.Table) {
	ctx, cancel := context.WithTimeout(ctx, otherTimeout)
	defer cancel()
	start := time.Now()
	var found ruleset.Ruleset
	err := in.enter()
	if err == nil {
		found, err = readOthers(ctx)
	}
	if err == nil {
		addExtensions(ctx, &found)
		addLegacy(ctx, legacy, &found)
		addIpsets(ctx, &found)
		found.Queues, err = queues()
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.reading, o.err, o.next = false, err, time.Now().Add(otherShare*time.Since(start))
	if err == nil {
		o.generation, o.legacy, o.found, o.at = current, legacy, found, start
	}
}

// readOthers reads the base chains of other programs that filter, and the chains to
// which they lead.
func readOthers(ctx context.Context) (ruleset.Ruleset, error) {
	listing, err := nftOutput(ctx, "--json", "list", "chains")
	if err != nil {
		return ruleset.Ruleset{}, err
	}
	all, err := ruleset.ParseChains(listing)
	if err != nil {
		return ruleset.Ruleset{}, err
	}
	dormant, err := dormantTables(ctx)
	if err != nil {
		return ruleset.Ruleset{}, err
	}
	out := ruleset.Ruleset{Names: map[string][]string{}, Sets: map[string][]any{}, Changing: map[string]bool{}}
	byName := map[string]ruleset.Chain{}
	var queue []ruleset.Chain
	for _, c := range all {
		out.Names[c.Table.String()] = append(out.Names[c.Table.String()], c.Name)
		byName[c.String()] = c
		ours := c.Table == ruleset.Table{Family: "inet", Name: routes.FirewallTable}
		if c.Filters() && !ours && !slices.Contains(dormant, c.Table) {
			queue = append(queue, c)
			delete(byName, c.String())
		}
	}
	sets := setReader{out: &out, read: map[string]bool{}}
	for len(queue) > 0 && len(out.Chains) < maxOtherChains {
		c, err := readChain(ctx, queue[0])
		queue = queue[1:]
		if ctx.Err() != nil {
			return ruleset.Ruleset{}, fmt.Errorf("read the rules of other programs: %w", ctx.Err())
		}
		if err != nil {
			continue // deleted in the meantime; what it does is not known
		}
		out.Chains = append(out.Chains, c)
		sets.add(ctx, c)
		for _, name := range out.Targets(c) {
			target := ruleset.Chain{Table: c.Table, Name: name}
			if t, ok := byName[target.String()]; ok {
				queue = append(queue, t)
				delete(byName, target.String())
			}
		}
	}
	return out, nil
}

// maxSets bounds the named sets and maps of other programs that are read.
const maxSets = 64

// setReader reads named sets and maps, each once.
type setReader struct {
	out  *ruleset.Ruleset
	read map[string]bool // by the keys of out.Sets
}

// add adds the named sets and maps of a chain. What is in one that cannot be read is not
// known.
func (r setReader) add(ctx context.Context, c ruleset.Chain) {
	for _, name := range c.NamedSets() {
		r.addOne(ctx, "set", c.Table, name)
	}
	for _, name := range c.NamedMaps() {
		r.addOne(ctx, "map", c.Table, name)
	}
}

func (r setReader) addOne(ctx context.Context, kind string, t ruleset.Table, name string) {
	key := t.String() + " " + name
	if r.read[key] || len(r.read) >= maxSets || ctx.Err() != nil {
		return
	}
	r.read[key] = true
	list := []string{"list", kind, t.Family, t.Name, name}
	text, err := nftOutput(ctx, append([]string{"--terse"}, list...)...)
	if err != nil {
		return
	}
	listing, err := nftOutput(ctx, append([]string{"--json"}, list...)...)
	if err != nil {
		return
	}
	if elements, changes, ok := ruleset.ParseSet(listing, string(text)); ok {
		r.out.Sets[key] = elements
		if changes {
			r.out.Changing[key] = true
		}
	}
}

// readChain reads the rules of a chain.
func readChain(ctx context.Context, c ruleset.Chain) (ruleset.Chain, error) {
	name := []string{"list", "chain", c.Table.Family, c.Table.Name, c.Name}
	listing, err := nftOutput(ctx, append([]string{"--json", "--terse"}, name...)...)
	if err != nil {
		return c, err
	}
	chains, err := ruleset.ParseChains(listing)
	if err != nil || len(chains) != 1 {
		return c, errors.Join(err, fmt.Errorf("chain %v is not in the output of nft", c))
	}
	if len(chains[0].Rules) == 0 && !chains[0].OfDevices() {
		return chains[0], nil
	}
	text, err := nftOutput(ctx, append([]string{"--handle", "--terse"}, name...)...)
	if err != nil {
		return c, err
	}
	return chains[0].WithText(string(text)), nil
}

// dormantTables returns the tables that are switched off.
func dormantTables(ctx context.Context) ([]ruleset.Table, error) {
	listing, err := nftOutput(ctx, "--json", "list", "tables")
	if err != nil {
		return nil, err
	}
	flagged, err := ruleset.ParseFlagged(listing)
	if err != nil {
		return nil, err
	}
	var out []ruleset.Table
	for _, t := range flagged {
		text, err := nftOutput(ctx, "--terse", "list", "table", t.Family, t.Name)
		if err != nil || ruleset.Dormant(string(text)) {
			out = append(out, t)
		}
	}
	return out, nil
}

func nftOutput(ctx context.Context, args ...string) ([]byte, error) {
	out, err := exec.CommandContext(ctx, "nft", args...).Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return nil, fmt.Errorf("nft %s: %s: %w", strings.Join(args, " "), strings.TrimSpace(string(exit.Stderr)), err)
	}
	return out, err
}
