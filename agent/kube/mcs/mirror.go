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
	// MirrorAnnotation on a ServiceExport ("true") makes the other clusters create a
	// Service <name>-<datacenter> with the endpoints of this cluster only. Its DNS name
	// is below cluster.local, as with the mirroring of Linkerd.
	MirrorAnnotation = "meshway.io/mirror"

	// MirrorLabel on such a Service and its EndpointSlices holds the exported name.
	// It replaces the API's service-name label, by which DNS would count the slices
	// as those of the ServiceImport.
	MirrorLabel = "meshway.io/mirror-of"
)

// MirrorName returns the name of the mirror of a service of dc.
func MirrorName(name string, dc catalog.DatacenterName) string { return name + "-" + string(dc) }

// mirrored reports whether the annotation of an export of dc requests a mirror. If
// the annotation cannot be followed it returns false and the reason; the service
// is exported without a mirror.
func mirrored(dc catalog.DatacenterName, export *mcsv1.ServiceExport) (bool, string) {
	switch value := export.Annotations[MirrorAnnotation]; value {
	case "", "false":
		return false, ""
	case "true":
	default:
		return false, fmt.Sprintf("annotation %s: %q is unknown and treated as false: use true or false", MirrorAnnotation, value)
	}
	name := MirrorName(export.Name, dc)
	if invalid := validation.IsDNS1035Label(name); len(invalid) > 0 {
		return false, fmt.Sprintf("annotation %s: %s cannot be the name of a Service (%s): use a shorter name or no mirror",
			MirrorAnnotation, name, strings.Join(invalid, "; "))
	}
	return true, ""
}

// mirrors returns a Service, with its EndpointSlices, for each other datacenter
// whose export requests a mirror. It has the properties of that export alone:
// nothing is merged, so nothing conflicts.
func (in Input) mirrors() ([]*corev1.Service, []*discoveryv1.EndpointSlice) {
	var services []*corev1.Service
	var all []*discoveryv1.EndpointSlice
	for _, e := range in.Exports {
		if !e.Mirror || e.Datacenter == in.Datacenter || len(validation.IsDNS1035Label(MirrorName(in.Name.Name, e.Datacenter))) > 0 {
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
