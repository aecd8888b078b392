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

// Merged is one service made of the exports of all datacenters.
type Merged struct {
	Spec        mcsv1.ServiceImportSpec // without IPs: these are each cluster's own
	Labels      map[string]string
	Annotations map[string]string
	Clusters    []string         // that export it, sorted
	Conflict    metav1.Condition // of every ServiceExport, without a time
}

// Merge puts the exports of one name together. Where they differ the oldest wins,
// and of equally old ones the first by name (KEP-1645, "Constraints and Conflict
// Resolution"); ports are united. Every member computes the same from the
// same catalog, so each can write the conflict to its own export. False: there
// are no exports.
func Merge(exports []catalog.Export) (Merged, bool) {
	if len(exports) == 0 {
		return Merged{}, false
	}
	ordered := slices.SortedFunc(slices.Values(exports), func(a, b catalog.Export) int {
		return cmp.Or(a.CreatedAt.Compare(b.CreatedAt), cmp.Compare(a.Datacenter, b.Datacenter))
	})
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
		Ports: []mcsv1.ServicePort{}, // required, also if there are none
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

// unite adds the ports whose name and whose protocol and number are both free:
// those of the older exports stand.
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

// conflicts says in what e differs from the oldest export.
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

// lacks says whether a family of the merged service does not reach all backends.
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

// conflictCondition joins the reasons with commas, as the API says.
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
	c.Message = shorten(fmt.Sprintf("%s; the oldest export, of %s, stands, and ports are united", strings.Join(texts, "; "), oldest))
	return c
}

// shorten keeps a message within what a Condition may hold.
func shorten(text string) string {
	const most = 2048
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "…"
}
