package mcs

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	mcsv1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/meshway/meshway/consensus/catalog"
)

const (
	// MirrorAnnotation on a ServiceExport ("true") has the other clusters make a
	// Service <name>-<datacenter> that leads to this cluster alone: a plain name,
	// without clusterset.local, as Linkerd's mirroring gives.
	MirrorAnnotation = "meshway.io/mirror"

	// MirrorLabel on such a Service and its EndpointSlices has the exported name.
	// Theirs is not that of the API: DNS would take the slices for the import's.
	MirrorLabel = "meshway.io/mirror-of"
)

// MirrorName is the name of the Service that leads to one datacenter.
func MirrorName(name string, dc catalog.DatacenterName) string { return name + "-" + string(dc) }

// mirrored says whether dc asks for mirrors of an export, and what is wrong with
// how it does; what is wrong is not mirrored, but exported all the same.
func mirrored(dc catalog.DatacenterName, export *mcsv1.ServiceExport) (bool, string) {
	switch value := export.Annotations[MirrorAnnotation]; value {
	case "", "false":
		return false, ""
	case "true":
	default:
		return false, fmt.Sprintf("annotation %s: %q is unknown and taken as false: use true or false", MirrorAnnotation, value)
	}
	name := MirrorName(export.Name, dc)
	if wrong := validation.IsDNS1035Label(name); len(wrong) > 0 {
		return false, fmt.Sprintf("annotation %s: %s cannot be the name of a Service (%s): use a shorter name or no mirror",
			MirrorAnnotation, name, strings.Join(wrong, "; "))
	}
	return true, ""
}

// mirrors makes a Service for each other datacenter that asks for one. It is
// as that datacenter exports it: nothing is merged, so nothing conflicts.
func (in Input) mirrors() ([]*corev1.Service, []*discoveryv1.EndpointSlice) {
	var services []*corev1.Service
	var all []*discoveryv1.EndpointSlice
	for _, e := range in.Exports {
		if !e.Mirror || e.Datacenter == in.Datacenter {
			continue
		}
		alone, _ := Merge([]catalog.Export{e})
		s := in.derivedService(alone)
		s.Name = MirrorName(in.Name.Name, e.Datacenter)
		s.Labels = map[string]string{
			ManagedByLabel: ManagedBy, MirrorLabel: in.Name.Name, mcsv1.LabelSourceCluster: string(e.Datacenter),
		}
		if e.Type == catalog.Headless {
			s.Spec.ClusterIP = corev1.ClusterIPNone
		}
		services = append(services, s)
		all = append(all, in.mirrorSlices(alone, e.Datacenter)...)
	}
	return services, all
}

func (in Input) mirrorSlices(alone Merged, dc catalog.DatacenterName) []*discoveryv1.EndpointSlice {
	var made []*discoveryv1.EndpointSlice
	for _, s := range in.Slices {
		if s.Datacenter != dc || in.withdrawn(dc) {
			continue
		}
		m := in.endpointSlice(alone, s)
		if m == nil {
			continue
		}
		m.Name = MirrorName(in.Name.Name, dc) + "-" + hash("mirror/"+string(dc)+"/"+s.Slice)
		delete(m.Labels, mcsv1.LabelServiceName)
		m.Labels[MirrorLabel] = in.Name.Name
		m.Labels[discoveryv1.LabelServiceName] = MirrorName(in.Name.Name, dc)
		made = append(made, m)
	}
	slices.SortFunc(made, func(a, b *discoveryv1.EndpointSlice) int { return strings.Compare(a.Name, b.Name) })
	return made
}
