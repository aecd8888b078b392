package mcs

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	mcsv1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/meshway/meshway/consensus/catalog"
)

// ReasonInvalidContent of the condition Valid: Kubernetes in other clusters, or the
// catalog, would refuse what the export has.
const ReasonInvalidContent mcsv1.ServiceExportConditionReason = "InvalidContent"

// refusedMetadata returns why Kubernetes refuses one of the labels or annotations,
// which the API of ServiceExport does not validate. The result is empty if it
// accepts all.
func refusedMetadata(labels, annotations map[string]string) string {
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		if !acceptedLabel(key, labels[key]) {
			return fmt.Sprintf("exported label %q with the value %q is not a valid label: correct spec.exportedLabels", key, labels[key])
		}
	}
	for _, key := range slices.Sorted(maps.Keys(annotations)) {
		if !acceptedAnnotation(key) {
			return fmt.Sprintf("exported annotation %q is not a valid key: correct spec.exportedAnnotations", key)
		}
	}
	return ""
}

func acceptedLabel(key, value string) bool {
	return len(validation.IsQualifiedName(key)) == 0 && len(validation.IsValidLabelValue(value)) == 0
}

func acceptedAnnotation(key string) bool {
	return len(validation.IsQualifiedName(strings.ToLower(key))) == 0
}

// accepted returns e without what Kubernetes would refuse, and without the
// annotations by which a cluster sets its own preference. An export of another
// datacenter with such content must not keep a service from being imported. The
// result depends on e only, so all clusters merge the same.
func accepted(e catalog.Export) catalog.Export {
	e.Labels = maps.Clone(e.Labels)
	maps.DeleteFunc(e.Labels, func(key, value string) bool { return !acceptedLabel(key, value) })
	e.Annotations = maps.Clone(e.Annotations)
	maps.DeleteFunc(e.Annotations, func(key, _ string) bool {
		return !acceptedAnnotation(key) || key == AffinityAnnotation || key == MinimumHealthyAnnotation
	})
	e.Ports = slices.Clone(e.Ports)
	for i, p := range e.Ports {
		e.Ports[i].AppProtocol = acceptedName(p.AppProtocol)
	}
	switch e.TrafficDistribution {
	case "", corev1.ServiceTrafficDistributionPreferClose, corev1.ServiceTrafficDistributionPreferSameZone, corev1.ServiceTrafficDistributionPreferSameNode:
	default:
		e.TrafficDistribution = ""
	}
	return e
}

// acceptedName returns name, or the empty string if it is not a qualified name.
func acceptedName(name string) string {
	if len(validation.IsQualifiedName(name)) > 0 {
		return ""
	}
	return name
}

// acceptedZone returns zone, or the empty string if it is not the value of a label.
func acceptedZone(zone string) string {
	if len(validation.IsValidLabelValue(zone)) > 0 {
		return ""
	}
	return zone
}

// acceptedAddress reports whether the API permits a as the address of an endpoint.
func acceptedAddress(a netip.Addr) bool {
	return a.IsValid() && !a.IsUnspecified() && !a.IsLoopback() && !a.IsLinkLocalUnicast() && !a.IsMulticast()
}
