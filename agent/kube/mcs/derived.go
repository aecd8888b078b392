package mcs

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	mcsv1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"
)

// WithAddresses returns s with the addresses of the import, or nil if the import has
// none, or none of the families of s.
func WithAddresses(s *corev1.Service, imported *mcsv1.ServiceImport) *corev1.Service {
	ips, families := imported.Spec.IPs, imported.Spec.IPFamilies
	if len(ips) == 0 || len(families) > 0 && len(families) != len(ips) {
		return nil
	}
	if len(s.Spec.IPFamilies) > 0 && len(families) > 0 && !slices.Equal(s.Spec.IPFamilies, families) {
		return nil
	}
	s = s.DeepCopy()
	s.Spec.ClusterIP, s.Spec.ClusterIPs = ips[0], ips
	if len(families) > 0 {
		s.Spec.IPFamilies = families
	}
	return s
}

// MergeSpec sets the fields of next that Meshway computes, and keeps those that
// the API server assigns.
func MergeSpec(next *corev1.ServiceSpec, want corev1.ServiceSpec) {
	next.Ports, next.SessionAffinity = want.Ports, want.SessionAffinity
	next.SessionAffinityConfig, next.TrafficDistribution = want.SessionAffinityConfig, want.TrafficDistribution
	if want.InternalTrafficPolicy != nil {
		next.InternalTrafficPolicy = want.InternalTrafficPolicy
	}
	next.IPFamilyPolicy = want.IPFamilyPolicy
	if len(want.IPFamilies) > 0 {
		next.IPFamilies = want.IPFamilies
		if len(next.ClusterIPs) > len(want.IPFamilies) {
			next.ClusterIPs = next.ClusterIPs[:len(want.IPFamilies)]
		}
	}
}
