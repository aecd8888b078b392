package quota

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/meshway/meshway/consensus/catalog"
)

// A range of values that a limit may be set to. The highest ones are what one member is
// given of the memory of the others in a federation of large clusters, and what the agents
// can use: they have 63 lanes, and the prefixes of a datacenter are in one command.
type bounds struct{ lowest, highest int }

// settable returns the limits that a datacenter sets for the others. Those of other
// resources are not settable: no cluster needs more, however large it is.
func settable() [resourceCount]bounds {
	return [resourceCount]bounds{
		resourceGateways:  {1, 63},
		resourcePrefixes:  {1, 4096},
		resourceServices:  {1, 40_000},
		resourceExports:   {1, 20_000},
		resourceSlices:    {1, 40_000},
		resourceEndpoints: {1, 400_000},
		resourceMemory:    {1 << 20, 192 << 20},
	}
}

// Setting is a limit that datacenters can set for the others.
type Setting struct {
	Resource string // "services"
	Default  int
	Highest  int // that it can be set to
	Most     int // of a datacenter
	Set      []catalog.Limit
}

// Settings returns the limits of a datacenter that can be set, in a federation with a
// number of others.
func (l Limits) Settings(s catalog.Settings, dc catalog.DatacenterName, others int) []Setting {
	var list []Setting
	standard := DefaultLimits().byResource()
	of := l.Of(s, dc, others).byResource()
	for r, b := range settable() {
		if b.highest == 0 {
			continue
		}
		name := standard[r].field
		list = append(list, Setting{
			Resource: name, Default: standard[r].most, Highest: b.highest, Most: of[r].most,
			Set: slices.DeleteFunc(slices.Clone(s.Limits), func(set catalog.Limit) bool { return set.Resource != name }),
		})
	}
	return list
}

// Of returns the limits of a datacenter in a federation with a number of others: the
// highest that another datacenter has set. One that has not set a limit counts with that
// of l. So no datacenter raises its own limits, one other raises them, and it takes
// all others to lower them.
func (l Limits) Of(s catalog.Settings, dc catalog.DatacenterName, others int) Limits {
	if len(s.Limits) == 0 {
		return l
	}
	for r, c := range l.byResource() {
		highest, set := uint64(0), 0
		for _, by := range s.Limits {
			if by.Resource == c.field && by.SetBy != dc {
				highest, set = max(highest, by.Most), set+1
			}
		}
		if set > 0 && (set >= others || highest > uint64(c.most)) { //nolint:gosec // not negative
			l.set(resource(r), int(highest)) //nolint:gosec // bounded by settable
		}
	}
	return l
}

func (l *Limits) set(r resource, most int) {
	field := map[resource]*int{
		resourceGateways: &l.Gateways, resourcePrefixes: &l.Prefixes, resourceServices: &l.Services,
		resourceExports: &l.Exports, resourceSlices: &l.Slices, resourceEndpoints: &l.Endpoints, resourceMemory: &l.Memory,
	}[r]
	if field != nil {
		*field = most
	}
}

// maxSet bounds the limits that are set in a federation, so that the record of the
// settings stays far below the largest one that a snapshot may have.
const maxSet = 4096

// Set returns s with limits that a datacenter sets for the others, or why the catalog
// refuses them. 0 is the default: the datacenter sets it no longer.
func Set(s catalog.Settings, by catalog.DatacenterName, limits []catalog.Limit) (catalog.Settings, *catalog.Refusal) {
	next := slices.Clone(s.Limits)
	for i, l := range limits {
		if r := checkSet(l).In(catalog.At("limits", i)); r != nil {
			return s, r
		}
		next = slices.DeleteFunc(next, func(h catalog.Limit) bool { return h.Resource == l.Resource && h.SetBy == by })
		if l.Most > 0 {
			next = append(next, catalog.Limit{Resource: l.Resource, Most: l.Most, SetBy: by})
		}
	}
	if len(next) > maxSet {
		return s, &catalog.Refusal{
			Code: catalog.CodeQuota, Field: "limits", Message: fmt.Sprintf("the members would have set %d limits, the maximum is %d", len(next), maxSet),
			Remedy: "return limits that are no longer needed to the default: set them to 0",
		}
	}
	slices.SortFunc(next, func(a, b catalog.Limit) int {
		return cmp.Or(cmp.Compare(a.Resource, b.Resource), cmp.Compare(a.SetBy, b.SetBy))
	})
	s.Limits = next
	return s, nil
}

// checkSet refuses a limit that cannot be set.
func checkSet(l catalog.Limit) *catalog.Refusal {
	names := DefaultLimits().byResource()
	for r, b := range settable() {
		if b.highest == 0 || names[r].field != l.Resource {
			continue
		}
		if l.Most == 0 || uint64(b.lowest) <= l.Most && l.Most <= uint64(b.highest) { //nolint:gosec // not negative
			return nil
		}
		return &catalog.Refusal{
			Code: catalog.CodeQuota, Field: "most",
			Message: fmt.Sprintf("the limit of %s cannot be %d", l.Resource, l.Most),
			Remedy:  fmt.Sprintf("choose a limit from %d to %d, or 0 for the default", b.lowest, b.highest),
		}
	}
	return &catalog.Refusal{
		Code: catalog.CodeQuota, Field: "resource", Message: fmt.Sprintf("there is no limit of %q that can be set", catalog.Shorten(l.Resource)),
		Remedy: "list the limits with meshctl federation limits",
	}
}
