package quorum

import (
	"cmp"
	"slices"

	"github.com/meshway/meshway/consensus"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/sponsor"
)

// Inquiry is the state of a member that finds out which gateways vote now.
type Inquiry struct {
	Own      catalog.GatewayID
	Voters   []catalog.GatewayID // in the configuration of this member
	Gateways []catalog.GatewayID // in its copy of the catalog
	Sponsors sponsor.Sponsors    // likewise: it takes most datacenters, and most of what they count as
}

// Report is the electorate as one gateway reports it.
type Report struct {
	From catalog.GatewayID
	consensus.Electorate
}

// Trusts reports whether one report of a gateway suffices. Voters are trusted for the
// order of the log, and the gateways of the own datacenter have the same CA key.
func (q Inquiry) Trusts(id catalog.GatewayID) bool {
	return slices.Contains(q.Voters, id) || id.Datacenter() == q.Own.Datacenter()
}

// Patience is how long a member has waited for the reports of an inquiry.
type Patience int

// The values of Patience.
const (
	Fresh   Patience = iota // gateways that are trusted may still answer
	Waited                  // they have had their time
	LeftOut                 // no inquiry has had a result for long
)

// Result returns the gateways that vote according to reports; no voters: they do not
// suffice. One report of a gateway that is trusted suffices. Without one, because all
// voters of its configuration may have left, it takes more than half of the other
// datacenters, and, if most of these may have left too, more than half of those that
// answer. A term counts if more than half have reached it.
func (q Inquiry) Result(reports []Report, p Patience) consensus.Electorate {
	trusted := slices.DeleteFunc(slices.Clone(reports), func(r Report) bool { return !q.Trusts(r.From) })
	if len(trusted) > 0 {
		result := tally(trusted, func(r Report) string { return string(r.From) }, 1, len(q.Voters))
		if p == Fresh && !slices.ContainsFunc(result.Voters, func(v consensus.Voter) bool { return !slices.Contains(q.Voters, v.ID) }) {
			return consensus.Electorate{} // another one may have a later configuration
		}
		return result
	}
	var ids []catalog.GatewayID
	switch p {
	case Fresh:
		return consensus.Electorate{}
	case Waited:
		ids = q.Gateways
	case LeftOut:
		for _, r := range reports {
			ids = append(ids, r.From)
		}
	}
	same := func(dc catalog.DatacenterName) catalog.DatacenterName { return dc }
	return common(q.byMost(reports, ids, same), q.byMost(reports, ids, q.Sponsors.Of))
}

// byMost returns what more than half of the other datacenters of ids report, where those of
// which as returns the same count as one.
func (q Inquiry) byMost(reports []Report, ids []catalog.GatewayID, as func(catalog.DatacenterName) catalog.DatacenterName) consensus.Electorate {
	others := make(map[catalog.DatacenterName]bool)
	for _, id := range ids {
		if dc := id.Datacenter(); dc != q.Own.Datacenter() {
			others[as(dc)] = true
		}
	}
	n := len(others)
	return tally(reports, func(r Report) string { return string(as(r.From.Datacenter())) }, n/2+1, n)
}

// common returns the voters that both name, and the term that both have reached.
func common(a, b consensus.Electorate) consensus.Electorate {
	a.Term = min(a.Term, b.Term)
	a.Voters = slices.DeleteFunc(a.Voters, func(v consensus.Voter) bool {
		return !slices.ContainsFunc(b.Voters, func(o consensus.Voter) bool { return o.ID == v.ID })
	})
	if len(a.Voters) == 0 {
		a.Voters = nil
	}
	return a
}

// tally returns the gateways that needed sources or more name as voters, and the term
// that more than half of all sources have reached.
func tally(reports []Report, source func(Report) string, needed, all int) consensus.Electorate {
	names := make(map[catalog.GatewayID]map[string]string) // the sources that name it, with its CA
	terms := make(map[string]uint64)                       // by source
	for _, r := range reports {
		from := source(r)
		terms[from] = max(terms[from], r.Term)
		for _, v := range r.Voters {
			if names[v.ID] == nil {
				names[v.ID] = make(map[string]string)
			}
			names[v.ID][from] = string(v.CA)
		}
	}
	result := consensus.Electorate{Term: reachedByMost(terms, all)}
	for id, by := range names {
		if len(by) >= needed {
			result.Voters = append(result.Voters, consensus.Voter{ID: id, CA: mostNamed(by)})
		}
	}
	slices.SortFunc(result.Voters, func(a, b consensus.Voter) int { return cmp.Compare(a.ID, b.ID) })
	return result
}

// mostNamed returns the CA that most sources name.
func mostNamed(by map[string]string) []byte {
	count := make(map[string]int)
	most := ""
	for _, ca := range by {
		count[ca]++
		if count[ca] > count[most] || count[ca] == count[most] && ca > most {
			most = ca
		}
	}
	return append([]byte(nil), most...) // nil: none names one
}

// reachedByMost returns the highest term that more than half of n sources have
// reached; 0: fewer have answered.
func reachedByMost(terms map[string]uint64, n int) uint64 {
	var reached []uint64
	for _, t := range terms {
		reached = append(reached, t)
	}
	slices.SortFunc(reached, func(a, b uint64) int { return cmp.Compare(b, a) })
	if most := n / 2; most < len(reached) {
		return reached[most]
	}
	return 0
}
