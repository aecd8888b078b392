package acceptance

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/agent/plan/prefixset"
	"github.com/meshway/meshway/consensus/catalog"
)

// Decision is which prefixes each datacenter may send from and be reached at. It is not
// modified: the next one shares what has not changed with it.
type Decision struct {
	Accepted []netip.Prefix // of the own datacenter, sorted
	Remotes  []Remote       // in the order of their records
	Sorted   []Claim        // the prefixes of all of Remotes
	Used     []netip.Prefix // the prefixes of all of Remotes and the overlay, aggregated
	Local    []netip.Prefix // ranges that stay local although a remote prefix overlaps them, aggregated
	Problems plan.Problems

	overlay netip.Prefix
	own     *judgement
	others  []*judgement
	host    LocalRanges
}

// Decide decides which prefixes each datacenter may send from and be
// reached at. The catalog refuses overlaps. If there is one nevertheless, every
// gateway must make the same decision on its own: the overlay wins (the
// catalog itself is replicated over it), then the own datacenter (its pods must
// stay reachable), then the first by name.
//
// Of another datacenter, prefixes that no honest leader accepts are not used at all.
//
// Of what is left, a prefix of another datacenter never wins over what this
// host reaches otherwise.
//
// The decision is the same whatever the former one is, which may be nil. What follows from
// records and ranges that have not changed is taken from it.
func Decide(former *Decision, overlay netip.Prefix, own catalog.Datacenter, others []catalog.Datacenter, host LocalRanges) *Decision {
	if former == nil {
		former = &Decision{}
	}
	d := &Decision{overlay: overlay, host: host, own: former.own.ofOwn(own)}
	before, unchanged := former.judgements(), former.own == d.own && former.overlay == overlay && len(former.others) == len(others)
	sameHost := former.host.same(host)
	for i, dc := range others {
		j := before[dc.Name].of(dc)
		d.others = append(d.others, j)
		unchanged = unchanged && sameHost && former.others[i] == j && slices.Equal(host.Reached[dc.Name], former.host.Reached[dc.Name])
	}
	if unchanged {
		return former
	}
	claims := d.accept()
	d.Accepted = d.own.accepted
	kept := host.JudgeOverlay(overlay, &d.Problems)
	d.Problems = append(d.Problems, d.own.found...)
	for i, j := range d.others {
		if !sameHost || !slices.Equal(host.Reached[j.record.Name], former.host.Reached[j.record.Name]) {
			j = j.again()
		}
		j.judge(host)
		d.others[i] = j
		d.Remotes, kept, d.Problems = append(d.Remotes, j.remote), append(kept, j.local...), append(append(d.Problems, j.found...), j.judged...)
	}
	d.Local = prefixset.Aggregate(kept)
	d.sort(claims)
	return d
}

// judgements returns those of the others by name.
func (d *Decision) judgements() map[catalog.DatacenterName]*judgement {
	by := make(map[catalog.DatacenterName]*judgement, len(d.others))
	for _, j := range d.others {
		by[j.record.Name] = j
	}
	return by
}

// accept sets which prefixes overlap none that precede them, and returns the sorted claims
// of the datacenters if there are no overlaps at all.
func (d *Decision) accept() []Claim {
	claims := appendClaims(make([]Claim, 0, d.size()), ownClaim, d.own.distinct)
	for _, i := range d.byAddress() {
		claims = appendClaims(claims, i, d.others[i].distinct)
	}
	if d.overlay.IsValid() {
		claims = append(claims, Claim{d.overlay.Masked(), overlayClaim})
	}
	sortClaims(claims)
	if !disjoint(claims) {
		d.resolveOverlaps()
		return nil
	}
	d.own = d.own.accepting(d.own.distinct)
	for i, j := range d.others {
		d.others[i] = j.accepting(j.distinct)
	}
	return claims
}

// byAddress returns the numbers of the other datacenters by their first prefixes. With
// them, most claims are in order before they are sorted.
func (d *Decision) byAddress() []int {
	order := make([]int, len(d.others))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		return slices.CompareFunc(first(d.others[a].distinct), first(d.others[b].distinct), prefixset.Compare)
	})
	return order
}

// first returns the first prefix of a list.
func first(list []netip.Prefix) []netip.Prefix { return list[:min(1, len(list))] }

// size returns how many claims there are.
func (d *Decision) size() int {
	n := 1 + len(d.own.distinct)
	for _, j := range d.others {
		n += len(j.distinct)
	}
	return n
}

// resolveOverlaps decides in the order of rank.
func (d *Decision) resolveOverlaps() {
	all := []netip.Prefix{d.overlay}
	for _, j := range append(d.others[:len(d.others):len(d.others)], d.own) {
		all = append(all, j.distinct...)
	}
	taken := ranked{index: prefixset.NewIndex(all)}
	taken.add("the overlay", d.overlay.Masked())
	d.own = d.own.accepting(taken.of(d.own, &d.Problems))
	for i, j := range d.others {
		d.others[i] = j.accepting(taken.of(j, &d.Problems))
	}
}

// sort sets what depends on the prefixes of all datacenters.
func (d *Decision) sort(claims []Claim) {
	if claims != nil && !slices.ContainsFunc(d.others, func(j *judgement) bool { return !slices.Equal(j.remote.Prefixes, j.distinct) }) {
		d.Sorted = slices.DeleteFunc(claims, func(c Claim) bool { return c.Owner < 0 })
	} else {
		d.Sorted = make([]Claim, 0, d.size())
		for _, i := range d.byAddress() {
			d.Sorted = appendClaims(d.Sorted, i, d.Remotes[i].Prefixes)
		}
		sortClaims(d.Sorted)
	}
	used := make([]netip.Prefix, 0, len(d.Sorted)+1)
	for _, c := range d.Sorted {
		used = append(used, c.Prefix)
	}
	if d.overlay.IsValid() {
		used = append(used, d.overlay.Masked())
	}
	d.Used = prefixset.AggregateMasked(used)
}

// Owner returns the number of the datacenter that has a prefix.
func (d *Decision) Owner(p netip.Prefix) (int, bool) {
	i, found := slices.BinarySearchFunc(d.Sorted, p, func(c Claim, p netip.Prefix) int { return prefixset.Compare(c.Prefix, p) })
	if !found {
		return 0, false
	}
	return d.Sorted[i].Owner, true
}

// Claim is a prefix of a datacenter.
type Claim struct {
	Prefix netip.Prefix
	Owner  int // the number of a datacenter in Remotes
}

// Owners of claims that are no other datacenters.
const (
	overlayClaim = -1
	ownClaim     = -2
)

func appendClaims(claims []Claim, owner int, prefixes []netip.Prefix) []Claim {
	for _, p := range prefixes {
		claims = append(claims, Claim{p, owner})
	}
	return claims
}

func sortClaims(claims []Claim) {
	compare := func(a, b Claim) int { return prefixset.Compare(a.Prefix, b.Prefix) }
	if !slices.IsSortedFunc(claims, compare) {
		slices.SortFunc(claims, compare)
	}
}

// disjoint reports whether no prefix overlaps one of another owner, given sorted claims.
// A prefix follows those that contain it.
func disjoint(claims []Claim) bool {
	var outer Claim
	for _, c := range claims {
		switch {
		case !outer.Prefix.Overlaps(c.Prefix):
			outer = c
		case outer.Owner != c.Owner:
			return false
		}
	}
	return true
}

// ranked are the prefixes that were accepted, by their number in the index.
type ranked struct {
	owners   []string // for messages
	prefixes []netip.Prefix
	index    *prefixset.Index
}

func (r *ranked) add(owner string, p netip.Prefix) {
	if p.IsValid() {
		r.index.Add(p)
		r.owners, r.prefixes = append(r.owners, owner), append(r.prefixes, p)
	}
}

// of returns the prefixes of one datacenter that overlap none of those accepted
// before, and accepts them. Within one datacenter they may overlap: node addresses are
// often part of a larger range.
func (r *ranked) of(j *judgement, found *plan.Problems) []netip.Prefix {
	dc := j.record.Name
	out := make([]netip.Prefix, 0, len(j.distinct))
	for _, p := range j.distinct {
		i, ok := r.index.First(p)
		if !ok {
			out = append(out, p)
			continue
		}
		found.AddError("prefix-overlap", plan.DatacenterSubject(dc),
			fmt.Sprintf("prefix %v of datacenter %s is not used: it overlaps %v of %s", p, dc, r.prefixes[i], r.owners[i]),
			fmt.Sprintf("assign other addresses to %s, or remove the prefix from its configuration", dc))
	}
	for owner, i := plan.DatacenterSubject(dc), 0; i < len(out); i++ {
		r.add(owner, out[i])
	}
	return out
}
