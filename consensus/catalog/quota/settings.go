package quota

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/sponsor"
)

// highest returns what a datacenter may raise the limits of the others to. It is what one
// member is given of the memory of the others in a federation of large clusters, and what
// the agents can use: they have 63 lanes. Other limits, 0, cannot be set: no cluster needs
// more, however large it is.
func highest() [resourceCount]int {
	return [resourceCount]int{
		resourceGateways:  63,
		resourceServices:  40_000,
		resourceExports:   20_000,
		resourceSlices:    40_000,
		resourceEndpoints: 400_000,
		resourceMemory:    192 << 20,
	}
}

// Setting is a limit that datacenters can raise for the others.
type Setting struct {
	Resource string // "services"
	Default  int
	Highest  int // that it can be raised to
	Most     int // of a datacenter
	Set      []catalog.Limit
}

// Settings returns the limits of a datacenter that can be raised.
func (l Limits) Settings(s catalog.Settings, sponsors sponsor.Sponsors, dc catalog.DatacenterName) []Setting {
	var list []Setting
	standard, of := DefaultLimits().byResource(), l.Of(s, sponsors, dc).byResource()
	for r, most := range highest() {
		if most == 0 {
			continue
		}
		name := standard[r].field
		list = append(list, Setting{
			Resource: name, Default: standard[r].most, Highest: most, Most: of[r].most,
			Set: slices.DeleteFunc(slices.Clone(s.Limits), func(set catalog.Limit) bool { return set.Resource != name }),
		})
	}
	return list
}

// Of returns the limits of a datacenter: l, or the highest to which another datacenter has
// raised them. So no datacenter raises its own limits, or takes anything from another.
func (l Limits) Of(s catalog.Settings, sponsors sponsor.Sponsors, dc catalog.DatacenterName) Limits {
	for r, c := range l.byResource() {
		for _, by := range s.Limits {
			if by.Resource == c.field && by.SetBy != dc && int(by.Most) > c.most && sponsors.MayPermit(by.SetBy, dc) { //nolint:gosec // bounded by highest
				c.most = int(by.Most) //nolint:gosec // bounded by highest
			}
		}
		l.set(resource(r), c.most)
	}
	return l
}

func (l *Limits) set(r resource, most int) {
	field := map[resource]*int{
		resourceGateways: &l.Gateways, resourceServices: &l.Services, resourceExports: &l.Exports,
		resourceSlices: &l.Slices, resourceEndpoints: &l.Endpoints, resourceMemory: &l.Memory,
	}[r]
	if field != nil {
		*field = most
	}
}

// maxSet bounds the limits that are set in a federation, so that the record of the
// settings stays far below the largest one that a snapshot may have.
const maxSet = 4096

// Set returns s with limits to which a datacenter raises those of the others, or why the catalog
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
	standard := DefaultLimits().byResource()
	for r, most := range highest() {
		if most == 0 || standard[r].field != l.Resource {
			continue
		}
		least := standard[r].most
		if l.Most == 0 || uint64(least) <= l.Most && l.Most <= uint64(most) { //nolint:gosec // not negative
			return nil
		}
		return &catalog.Refusal{
			Code: catalog.CodeQuota, Field: "most",
			Message: fmt.Sprintf("the limit of %s cannot be %d", l.Resource, l.Most),
			Remedy:  fmt.Sprintf("choose a limit from %d, the default, to %d; 0 is the default, too", least, most),
		}
	}
	return &catalog.Refusal{
		Code: catalog.CodeQuota, Field: "resource", Message: fmt.Sprintf("there is no limit of %q that can be raised", catalog.Shorten(l.Resource)),
		Remedy: "list the limits with meshctl federation limits",
	}
}
