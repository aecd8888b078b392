package acceptance

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/routes"
)

// judgement is what follows from the record of one datacenter. It is not modified after
// its decision, but copied.
type judgement struct {
	record   catalog.Datacenter // with the prefixes that are within the limits
	prefixes []catalog.Prefix   // of the record, as it is in the catalog
	distinct []netip.Prefix     // of record, in canonical form, sorted
	found    plan.Problems      // in the record

	accepted []netip.Prefix // those of distinct that overlap none that precede them

	decided bool // the following are set
	remote  Remote
	local   []netip.Prefix // ranges that stay local
	judged  plan.Problems  // of the host
}

// of returns the judgement of the record of another datacenter: j if it has not changed.
func (j *judgement) of(dc catalog.Datacenter) *judgement {
	if j != nil && j.record.Name == dc.Name && j.record.Ordinal == dc.Ordinal && slices.Equal(j.prefixes, dc.Prefixes) {
		return j
	}
	next := &judgement{prefixes: dc.Prefixes}
	next.record = withinLimits(dc, &next.found)
	if dc.Ordinal > routes.MaxOrdinal {
		next.distinct = []netip.Prefix{} // so that it takes none from others
		next.found.AddError("ordinal-too-large", plan.DatacenterSubject(dc.Name),
			fmt.Sprintf("the prefixes of datacenter %s are not routed: its ordinal %d is greater than %d", dc.Name, dc.Ordinal, routes.MaxOrdinal),
			"upgrade meshd on all gateways, then run meshctl leave in that datacenter and join again with a new token")
		return next
	}
	next.distinct = canonical(next.record, &next.found)
	return next
}

// ofOwn is of for the own datacenter, which is not limited.
func (j *judgement) ofOwn(dc catalog.Datacenter) *judgement {
	if j != nil && j.record.Name == dc.Name && slices.Equal(j.prefixes, dc.Prefixes) {
		return j
	}
	next := &judgement{prefixes: dc.Prefixes, record: dc}
	next.distinct = canonical(dc, &next.found)
	return next
}

// accepting returns the judgement in which the given prefixes are accepted.
func (j *judgement) accepting(prefixes []netip.Prefix) *judgement {
	if j.accepted != nil && slices.Equal(j.accepted, prefixes) {
		return j
	}
	next := j.again()
	next.accepted = prefixes
	return next
}

// again returns the judgement without what was decided.
func (j *judgement) again() *judgement {
	next := *j
	next.decided, next.remote, next.local, next.judged = false, Remote{}, nil, nil
	return &next
}

// judge decides what a host uses of the prefixes that are accepted.
func (j *judgement) judge(host LocalRanges) {
	if j.decided {
		return
	}
	dc := j.record
	j.decided, j.remote = true, Remote{Name: dc.Name, Ordinal: dc.Ordinal}
	j.remote.Prefixes, j.local = host.judge(dc.Name, accepted(host.cfg, dc.Name, withKinds(j.accepted, dc.Prefixes)), &j.judged)
}

// canonical returns the distinct prefixes of a datacenter that are in canonical form.
func canonical(dc catalog.Datacenter, found *plan.Problems) []netip.Prefix {
	return slices.DeleteFunc(sortedPrefixes(dc.Prefixes), func(p netip.Prefix) bool {
		if p.IsValid() && p == p.Masked() && p.Bits() > 0 && !p.Addr().Is4In6() {
			return false
		}
		found.AddError("prefix-invalid", plan.DatacenterSubject(dc.Name),
			fmt.Sprintf("prefix %v of datacenter %s is not used: it is not in canonical form, or it covers all addresses", p, dc.Name),
			fmt.Sprintf("correct the prefixes in the configuration of %s", dc.Name))
		return true
	})
}
