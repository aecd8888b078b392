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
	name := catalog.ExportKey{Datacenter: dc, Namespace: export.Namespace, Name: export.Name}.MirrorName()
	if invalid := validation.IsDNS1035Label(name); len(invalid) > 0 {
		return false, fmt.Sprintf("annotation %s: %s cannot be the name of a Service (%s): use a shorter name or no mirror",
			MirrorAnnotation, name, strings.Join(invalid, "; "))
	}
	return true, ""
}

// addMirrors adds to i a Service, with its EndpointSlices, for each other datacenter
// whose export requests a mirror. It has the properties of that export alone:
// nothing is merged, so nothing conflicts. Where an export of another name takes
// precedence for the name of the mirror, it adds that to i.Refused instead.
func (in Input) addMirrors(i *Import) {
	for _, e := range in.Exports {
		name := e.MirrorName()
		if !e.Mirror || e.Datacenter == in.Datacenter || len(validation.IsDNS1035Label(name)) > 0 {
			continue
		}
		if rival, lost := precedence(e, in.mirroredRivals(name)); lost {
			i.Refused = append(i.Refused, RefusedMirror{Name: name, Reason: nameTaken(e, rival)})
			continue
		}
		alone, _ := Merge([]catalog.Export{e})
		s := in.derivedService(alone)
		s.Name = name
		s.Labels = map[string]string{
			ManagedByLabel: ManagedBy, MirrorLabel: in.Name.Name, mcsv1.LabelSourceCluster: string(e.Datacenter),
		}
		if e.Type == catalog.Headless {
			s.Spec.ClusterIP = corev1.ClusterIPNone
		}
		i.Mirrors = append(i.Mirrors, s)
		i.MirrorSlices = append(i.MirrorSlices, in.mirrorSlices(alone, e.Datacenter)...)
	}
}

// mirroredRivals returns the rivals that have a Service of a name in this cluster. It
// does not mirror its own exports.
func (in Input) mirroredRivals(service string) []catalog.Export {
	return slices.DeleteFunc(slices.Clone(in.Rivals), func(r catalog.Export) bool {
		return r.Datacenter == in.Datacenter && derivedNameOf(r) != service
	})
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
		m.Name = s.MirrorName() + "-" + hash("mirror/"+string(dc)+"/"+s.Slice)
		delete(m.Labels, mcsv1.LabelServiceName)
		m.Labels[MirrorLabel] = in.Name.Name
		m.Labels[discoveryv1.LabelServiceName] = s.MirrorName()
		made = append(made, m)
	}
	slices.SortFunc(made, func(a, b *discoveryv1.EndpointSlice) int { return strings.Compare(a.Name, b.Name) })
	return made
}
