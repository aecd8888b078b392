package acceptance

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/meshway/meshway/agent/config"
	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/agent/plan/prefixset"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/tunnel"
)

// localRange is a range that this host reaches without Meshway.
type localRange struct {
	prefix  netip.Prefix
	name    string // for messages
	network bool   // of a link: remote prefixes within it do not win either
	table   int    // of a policy rule that leads there; 0: none
	needed  bool   // the host does not work without it: it does not yield with a range around it
	movable bool   // it yields if it is listed itself
}

// LocalRanges are all ranges of a host that the prefixes of other datacenters
// must not take over.
//
// A longer or equal prefix of the host wins as in any routing table, but
// Meshway's rule precedes that of the main table, so the plan excludes these
// ranges. Endpoints of other datacenters are not among them: the tunnels' own
// packets bypass Meshway's table, and a member could otherwise exclude
// addresses of another one by advertising them.
type LocalRanges struct {
	sorted   []localRange
	networks map[netip.Prefix]localRange
	lengths  []int // of networks, ascending
	cfg      config.Config
	Host     string // for messages: "this host"
	// Reached are the addresses at which the gateways of each datacenter are. Node
	// addresses of a datacenter with a gateway on a link are on that link too. Nil: each
	// datacenter may have one on each link.
	Reached map[catalog.DatacenterName][]netip.Addr
}

// same reports whether both give the same judgements of records for the same Reached.
func (l LocalRanges) same(o LocalRanges) bool {
	return slices.Equal(l.sorted, o.sorted) && maps.Equal(l.networks, o.networks) && l.Host == o.Host &&
		l.cfg.Witness == o.cfg.Witness && slices.Equal(l.cfg.Routing.Yield, o.cfg.Routing.Yield) &&
		maps.EqualFunc(l.cfg.Routing.Accept, o.cfg.Routing.Accept, slices.Equal) && (l.Reached == nil) == (o.Reached == nil)
}

// shares reports whether a datacenter may have a gateway on the link with a network.
func (l LocalRanges) shares(dc catalog.DatacenterName, network netip.Prefix) bool {
	return l.Reached == nil || slices.ContainsFunc(l.Reached[dc], network.Contains)
}

// NewLocalRanges collects the ranges of a host. The needed addresses are those
// of the host, and more.
func NewLocalRanges(cfg config.Config, h plan.Host, more []plan.Need) LocalRanges {
	l := LocalRanges{
		networks: map[netip.Prefix]localRange{}, cfg: cfg, Host: "this host",
	}
	for _, link := range h.Links {
		for _, p := range link.Prefixes {
			l.networks[p] = localRange{prefix: p, name: "the network of " + link.Device, network: true}
		}
	}
	for _, n := range l.networks {
		l.sorted = append(l.sorted, n)
		l.lengths = append(l.lengths, n.prefix.Bits())
	}
	slices.Sort(l.lengths)
	l.lengths = slices.Compact(l.lengths)
	for _, a := range h.Addresses {
		l.addAddress(a, localRange{name: "an address of the host"})
	}
	routers := map[netip.Addr]bool{}
	for _, r := range slices.Concat(h.Routes, h.Earlier) {
		if r.Via.IsValid() && !routers[r.Via] && !slices.Contains(h.Addresses, r.Via) {
			routers[r.Via] = true
			l.addAddress(r.Via, localRange{name: "a router of the host", needed: true})
		}
		ours := tunnel.IsLane(cfg.WireGuard.Interface, r.Device) && !slices.Contains(h.Foreign, r.Device)
		if _, connected := l.networks[r.Prefix]; connected || r.Drop != "" || r.Prefix.Bits() == 0 || ours {
			continue
		}
		name := "the route " + r.Text()
		if r.Table != 0 {
			name += fmt.Sprintf(" of table %d", r.Table)
		}
		l.sorted = append(l.sorted, localRange{prefix: r.Prefix, name: name, table: r.Table})
	}
	for _, n := range slices.Concat(h.Needed, more) {
		l.addAddress(n.Address, localRange{name: n.Use, needed: true, movable: n.Movable})
	}
	slices.SortFunc(l.sorted, func(a, b localRange) int {
		return cmp.Or(a.prefix.Compare(b.prefix), cmp.Compare(rankNeeded(a), rankNeeded(b)), cmp.Compare(a.name, b.name))
	})
	return l
}

func rankNeeded(r localRange) int {
	if r.needed {
		return 0
	}
	return 1
}

func (l *LocalRanges) addAddress(a netip.Addr, r localRange) {
	if a = a.Unmap().WithZone(""); !a.IsValid() || a.IsLoopback() || a.IsLinkLocalUnicast() {
		return
	}
	r.prefix = prefixset.Host(a)
	l.sorted = append(l.sorted, r)
}

// within returns the ranges that stay local although a remote prefix contains
// them, and a range that keeps all of the prefix local, if there is one.
func (l LocalRanges) within(dc catalog.DatacenterName, p catalog.Prefix) (parts []localRange, all *localRange) {
	for _, bits := range slices.Backward(l.lengths) {
		if bits >= p.CIDR.Bits() || bits == 0 {
			continue
		}
		n, ok := l.networks[netip.PrefixFrom(p.CIDR.Addr(), bits).Masked()]
		node := p.Kind == catalog.NodePrefix && p.CIDR.IsSingleIP()
		if ok && !prefixset.Covers(l.cfg.Routing.Yield, p.CIDR) && (!node || !l.shares(dc, n.prefix)) {
			return nil, &n
		}
	}
	i, _ := slices.BinarySearchFunc(l.sorted, p.CIDR, func(r localRange, p netip.Prefix) int { return r.prefix.Compare(p) })
	for _, r := range l.sorted[i:] {
		if !p.CIDR.Contains(r.prefix.Addr()) {
			break
		}
		inLast := len(parts) > 0 && parts[len(parts)-1].prefix.Overlaps(r.prefix)
		switch {
		case l.yields(r) || inLast:
		case r.prefix == p.CIDR:
			return nil, &r
		default:
			parts = append(parts, r)
		}
	}
	return parts, nil
}

// yields reports whether the configuration lets a prefix of another datacenter take a range
// over. A range that yields may be wider than intended, so that what the host needs has to
// be listed itself. What the tunnels need never yields.
func (l LocalRanges) yields(r localRange) bool {
	if r.needed {
		return r.movable && slices.Contains(l.cfg.Routing.Yield, r.prefix)
	}
	return prefixset.Covers(l.cfg.Routing.Yield, r.prefix)
}

// JudgeRecord reports what stays local of the prefixes in the record of a datacenter.
func (l LocalRanges) JudgeRecord(dc catalog.Datacenter, found *plan.Problems) {
	l.judge(dc.Name, accepted(l.cfg, dc.Name, withKinds(sortedPrefixes(dc.Prefixes), dc.Prefixes)), found)
}

// judge returns the prefixes that are routed to another datacenter, and the
// ranges in them, or in the others, that stay local.
func (l LocalRanges) judge(dc catalog.DatacenterName, prefixes []catalog.Prefix, found *plan.Problems) (routed, local []netip.Prefix) {
	for _, p := range prefixes {
		parts, all := l.within(dc, p)
		if all != nil {
			local = append(local, p.CIDR)
			found.AddError("prefix-local", plan.DatacenterSubject(dc),
				fmt.Sprintf("prefix %v of datacenter %s is not routed: %s reaches it otherwise, by %s", p.CIDR, dc, l.Host, all.text()),
				keptRemedy(dc, []localRange{*all}))
			continue
		}
		routed = append(routed, p.CIDR)
		if len(parts) == 0 {
			continue
		}
		for _, r := range parts {
			local = append(local, r.prefix)
		}
		found.AddError("prefix-local", plan.DatacenterSubject(dc),
			fmt.Sprintf("prefix %v of datacenter %s contains what %s reaches otherwise and keeps local: %s", p.CIDR, dc, l.Host, textOf(parts)),
			keptRemedy(dc, parts))
	}
	return routed, local
}

// JudgeOverlay returns the ranges in the overlay that stay local.
func (l LocalRanges) JudgeOverlay(overlay netip.Prefix, found *plan.Problems) []netip.Prefix {
	if !overlay.IsValid() {
		return nil
	}
	parts, all := l.within("", catalog.Prefix{CIDR: overlay})
	local := []netip.Prefix{overlay}
	if all != nil {
		parts = []localRange{*all}
	} else {
		local = nil
		for _, r := range parts {
			local = append(local, r.prefix)
		}
	}
	if len(parts) > 0 {
		found.AddError("overlay-local", "overlay",
			fmt.Sprintf("the overlay %v of the federation overlaps what %s reaches otherwise and keeps local: %s", overlay, l.Host, textOf(parts)),
			"give the host other addresses and routes, or create a federation with another overlay (meshctl init --overlay)")
	}
	return local
}

func (r localRange) text() string {
	if r.network || r.prefix.IsSingleIP() {
		address := r.prefix.String()
		if r.prefix.IsSingleIP() {
			address = r.prefix.Addr().String()
		}
		return fmt.Sprintf("%s (%s)", address, r.name)
	}
	return r.name
}

// textOf names the first few ranges.
func textOf(ranges []localRange) string {
	const few = 3
	var words []string
	for _, r := range ranges[:min(few, len(ranges))] {
		words = append(words, r.text())
	}
	if more := len(ranges) - few; more > 0 {
		words = append(words, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(words, ", ")
}

// keptRemedy returns what an operator can do about local ranges. What the tunnels need
// does not yield.
func keptRemedy(dc catalog.DatacenterName, ranges []localRange) string {
	narrow := fmt.Sprintf("set routing.accept.%s to the ranges that this datacenter takes from %s", dc, dc)
	var yielding, elsewhere []string
	for _, r := range ranges {
		if r.needed && !r.movable || len(yielding) == 3 {
			continue
		}
		yielding = append(yielding, r.prefix.String())
		if r.table != 0 { // its rule may precede Meshway's
			elsewhere = append(elsewhere, fmt.Sprintf("%v from table %d", r.prefix, r.table))
		}
	}
	if len(yielding) == 0 {
		return narrow + fmt.Sprintf(", or remove the range from the prefixes of %s", dc)
	}
	yield := fmt.Sprintf(", or add %s to routing.yield if %s takes it over", strings.Join(yielding, " "), dc)
	if len(elsewhere) > 0 {
		yield += ", and remove " + strings.Join(elsewhere, ", ")
	}
	return narrow + yield
}

// accepted returns the parts of the prefixes that the configuration takes from
// a datacenter.
func accepted(cfg config.Config, dc catalog.DatacenterName, prefixes []catalog.Prefix) []catalog.Prefix {
	if cfg.Witness {
		return nil // it carries no traffic
	}
	ranges, narrowed := cfg.Routing.Accept[dc]
	if !narrowed {
		return prefixes
	}
	var out []catalog.Prefix
	for _, p := range prefixes {
		if prefixset.Covers(ranges, p.CIDR) {
			out = append(out, p)
			continue
		}
		for _, r := range ranges {
			if p.CIDR.Bits() < r.Bits() && p.CIDR.Contains(r.Addr()) {
				out = append(out, catalog.Prefix{CIDR: r, Kind: p.Kind})
			}
		}
	}
	slices.SortFunc(out, func(a, b catalog.Prefix) int { return a.CIDR.Compare(b.CIDR) })
	return slices.CompactFunc(out, func(a, b catalog.Prefix) bool { return a.CIDR == b.CIDR })
}
