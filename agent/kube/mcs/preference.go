package mcs

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/meshway/meshway/consensus/catalog"
)

const (
	// AffinityAnnotation on a ServiceExport selects the endpoints that its own cluster
	// prefers; on the ServiceImport, those that a cluster without an export prefers:
	// "local", "remote", "none", or datacenters in order of preference.
	AffinityAnnotation = "meshway.io/affinity"

	// MinimumHealthyAnnotation beside AffinityAnnotation is how many endpoints must be
	// ready for the preference to apply; the default is 1.
	MinimumHealthyAnnotation = "meshway.io/minimum-healthy"
)

// Preference is which endpoints of a service a cluster uses while enough of them are
// ready. The zero value prefers none.
type Preference struct {
	Affinity       catalog.Affinity         // empty is AffinityNone
	Datacenters    []catalog.DatacenterName // with AffinityNone, the most preferred first
	MinimumHealthy int                      // 0 is 1
}

// PreferenceOf reads the annotations of a ServiceExport or ServiceImport. It returns
// a sentence for each annotation that it ignores because the value is unknown.
func PreferenceOf(annotations map[string]string) (Preference, []string) {
	p := Preference{Affinity: catalog.AffinityNone, MinimumHealthy: 1}
	var ignored []string
	switch text := annotations[AffinityAnnotation]; catalog.Affinity(text) {
	case "", catalog.AffinityNone:
	case catalog.AffinityLocal, catalog.AffinityRemote:
		p.Affinity = catalog.Affinity(text)
	default:
		for name := range strings.SplitSeq(text, ",") {
			p.Datacenters = append(p.Datacenters, catalog.DatacenterName(strings.TrimSpace(name)))
		}
		if slices.ContainsFunc(p.Datacenters, func(dc catalog.DatacenterName) bool { return len(validation.IsDNS1123Label(string(dc))) > 0 }) {
			p.Datacenters = nil
			ignored = append(ignored, fmt.Sprintf("annotation %s: %q is unknown and treated as none: use local, remote, none, "+
				"or names of datacenters separated by commas", AffinityAnnotation, text))
		}
	}
	if text, set := annotations[MinimumHealthyAnnotation]; set {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			return p, append(ignored, fmt.Sprintf("annotation %s: %q is treated as 1: use a number of endpoints, 1 or more", MinimumHealthyAnnotation, text))
		}
		p.MinimumHealthy = n
	}
	return p, ignored
}

// choose returns the endpoints to use: the preferred ones while MinimumHealthy of
// them are ready, all others too if not.
func (p Preference) choose(own catalog.DatacenterName, all []sourced) []sourced {
	chosen := func(keep func(catalog.DatacenterName) bool) ([]sourced, bool) {
		part := slices.DeleteFunc(slices.Clone(all), func(s sourced) bool { return !keep(s.datacenter) })
		return part, readyEndpoints(part) >= max(p.MinimumHealthy, 1)
	}
	switch p.Affinity {
	case catalog.AffinityNone:
	case catalog.AffinityLocal:
		if local, enough := chosen(func(dc catalog.DatacenterName) bool { return dc == own }); enough {
			return local
		}
	case catalog.AffinityRemote:
		if remote, enough := chosen(func(dc catalog.DatacenterName) bool { return dc != own }); enough {
			return remote
		}
	}
	for _, preferred := range p.Datacenters {
		if part, enough := chosen(func(dc catalog.DatacenterName) bool { return dc == preferred }); enough {
			return part
		}
	}
	return all
}
