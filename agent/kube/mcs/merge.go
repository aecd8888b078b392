package mcs

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	mcsv1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/meshway/meshway/consensus/catalog"
)

// Merged is the service that the exports of all datacenters form together.
type Merged struct {
	Spec        mcsv1.ServiceImportSpec // without IPs, which each cluster assigns
	Labels      map[string]string
	Annotations map[string]string
	Clusters    []string         // the exporting datacenters, sorted
	Conflict    metav1.Condition // for every ServiceExport of the name; no transition time
}

// Merge merges the exports of one name. Where they differ the oldest wins, and of
// equally old ones the first by datacenter name (KEP-1645, "Constraints and
// Conflict Resolution"); ports are united. The result depends on the exports only,
// so every member computes the same conflict and writes it to its own export.
// Merge reports false if there are no exports.
func Merge(exports []catalog.Export) (Merged, bool) {
	if len(exports) == 0 {
		return Merged{}, false
	}
	ordered := slices.SortedFunc(slices.Values(exports), compareAge)
	for i, e := range ordered {
		ordered[i] = accepted(e)
	}
	oldest := ordered[0]
	m := Merged{Spec: spec(oldest), Labels: oldest.Labels, Annotations: oldest.Annotations}
	var found []conflict
	for _, e := range ordered {
		m.Clusters = append(m.Clusters, string(e.Datacenter))
		m.Spec.Ports = unite(m.Spec.Ports, e.Ports)
		found = append(found, conflicts(oldest, e)...)
	}
	slices.Sort(m.Clusters)
	m.Conflict = conflictCondition(oldest.Datacenter, found)
	return m, true
}

func spec(e catalog.Export) mcsv1.ServiceImportSpec {
	s := mcsv1.ServiceImportSpec{
		Type: mcsv1.ServiceImportType(e.Type), SessionAffinity: corev1.ServiceAffinity(e.SessionAffinity),
		Ports: []mcsv1.ServicePort{}, // required by the API, even if empty
	}
	if e.SessionAffinity == catalog.ClientIPAffinity && e.SessionAffinitySeconds > 0 {
		seconds := int32(e.SessionAffinitySeconds)
		s.SessionAffinityConfig = &corev1.SessionAffinityConfig{ClientIP: &corev1.ClientIPConfig{TimeoutSeconds: &seconds}}
	}
	for _, f := range e.IPFamilies {
		s.IPFamilies = append(s.IPFamilies, corev1.IPFamily(f))
	}
	if e.InternalTrafficPolicy != "" {
		policy := corev1.ServiceInternalTrafficPolicy(e.InternalTrafficPolicy)
		s.InternalTrafficPolicy = &policy
	}
	if e.TrafficDistribution != "" {
		s.TrafficDistribution = &e.TrafficDistribution
	}
	return s
}

// unite appends those of more whose name is unused in ports and whose protocol and
// number are unused too: older exports take precedence.
func unite(ports []mcsv1.ServicePort, more []catalog.ExportPort) []mcsv1.ServicePort {
	for _, p := range more {
		port := mcsv1.ServicePort{
			Name: p.Name, Protocol: corev1.Protocol(strings.ToUpper(p.Protocol)), Port: int32(p.Number),
		}
		if p.AppProtocol != "" {
			port.AppProtocol = &p.AppProtocol
		}
		taken := slices.ContainsFunc(ports, func(o mcsv1.ServicePort) bool {
			return o.Name == port.Name || o.Protocol == port.Protocol && o.Port == port.Port
		})
		if !taken {
			ports = append(ports, port)
		}
	}
	return ports
}

type conflict struct {
	reason mcsv1.ServiceExportConditionReason
	text   string
}

// conflicts returns the properties in which e differs from the oldest export.
func conflicts(oldest, e catalog.Export) []conflict {
	var found []conflict
	differ := func(reason mcsv1.ServiceExportConditionReason, what string, old, is any) {
		found = append(found, conflict{reason, fmt.Sprintf("%s of %s is %v, of %s %v", what, oldest.Datacenter, old, e.Datacenter, is)})
	}
	if old, is := portList(oldest.Ports), portList(e.Ports); old != is {
		differ(mcsv1.ServiceExportReasonPortConflict, "ports", old, is)
	}
	if oldest.Type != e.Type {
		differ(mcsv1.ServiceExportReasonTypeConflict, "type", oldest.Type, e.Type)
	}
	if oldest.SessionAffinity != e.SessionAffinity {
		differ(mcsv1.ServiceExportReasonSessionAffinityConflict, "session affinity", oldest.SessionAffinity, e.SessionAffinity)
	}
	if oldest.SessionAffinity == e.SessionAffinity && oldest.SessionAffinitySeconds != e.SessionAffinitySeconds {
		differ(mcsv1.ServiceExportReasonSessionAffinityConfigConflict, "session affinity timeout",
			oldest.SessionAffinitySeconds, e.SessionAffinitySeconds)
	}
	if old, is := cmp.Or(oldest.InternalTrafficPolicy, "Cluster"), cmp.Or(e.InternalTrafficPolicy, "Cluster"); old != is {
		differ(mcsv1.ServiceExportReasonInternalTrafficPolicyConflict, "internal traffic policy", old, is)
	}
	if oldest.TrafficDistribution != e.TrafficDistribution {
		differ(mcsv1.ServiceExportReasonTrafficDistributionConflict, "traffic distribution",
			cmp.Or(oldest.TrafficDistribution, "unset"), cmp.Or(e.TrafficDistribution, "unset"))
	}
	if lacks(e.IPFamilies, oldest.IPFamilies) {
		differ(mcsv1.ServiceExportReasonIPFamilyConflict, "IP families", oldest.IPFamilies, e.IPFamilies)
	}
	if !maps.Equal(oldest.Labels, e.Labels) {
		differ(mcsv1.ServiceExportReasonLabelsConflict, "exported labels", oldest.Labels, e.Labels)
	}
	if !maps.Equal(oldest.Annotations, e.Annotations) {
		differ(mcsv1.ServiceExportReasonAnnotationsConflict, "exported annotations", oldest.Annotations, e.Annotations)
	}
	return found
}

// lacks reports whether a family of want is not in have.
func lacks(have, want []catalog.IPFamily) bool {
	return slices.ContainsFunc(want, func(f catalog.IPFamily) bool { return !slices.Contains(have, f) })
}

func portList(ports []catalog.ExportPort) string {
	var list []string
	for _, p := range ports {
		list = append(list, strings.TrimSpace(fmt.Sprintf("%s %d/%s %s", p.Name, p.Number, p.Protocol, p.AppProtocol)))
	}
	slices.Sort(list)
	return "[" + strings.Join(list, ", ") + "]"
}

// conflictCondition returns the condition Conflict. Its reason is a comma-separated
// list, as the API specifies.
func conflictCondition(oldest catalog.DatacenterName, found []conflict) metav1.Condition {
	c := metav1.Condition{
		Type: string(mcsv1.ServiceExportConditionConflict), Status: metav1.ConditionFalse,
		Reason: string(mcsv1.ServiceExportReasonNoConflicts), Message: "all exports agree",
	}
	if len(found) == 0 {
		return c
	}
	var reasons, texts []string
	for _, f := range found {
		if !slices.Contains(reasons, string(f.reason)) {
			reasons = append(reasons, string(f.reason))
		}
		texts = append(texts, f.text)
	}
	slices.Sort(reasons)
	c.Status, c.Reason = metav1.ConditionTrue, strings.Join(reasons, ",")
	c.Message = shorten(fmt.Sprintf("%s; the oldest export, of %s, takes precedence, and ports are united", strings.Join(texts, "; "), oldest))
	return c
}

// shorten truncates a message to fit the limit of a Condition.
func shorten(text string) string {
	const limit = 2048 // bytes, well below the API's 32,768
	if len(text) <= limit {
		return text
	}
	return strings.ToValidUTF8(text[:limit], "") + "…"
}
