package mcs

import (
	"cmp"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	mcsv1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/meshway/meshway/consensus/catalog"
)

// Source is the set of objects of this cluster under one name. Nil fields are
// objects that do not exist.
type Source struct {
	Export  *mcsv1.ServiceExport
	Service *corev1.Service
	Slices  []*discoveryv1.EndpointSlice // of the Service, in any order
}

// Publication is the set of records that this cluster publishes for a Source.
type Publication struct {
	Export *catalog.Export         // nil: nothing is published
	Slices []catalog.EndpointSlice // sorted by name
	Valid  metav1.Condition        // for the ServiceExport; no transition time
	// Excluded are the endpoints outside the prefixes of this datacenter, which the
	// catalog would refuse.
	Excluded []netip.Addr
	Nodes    map[netip.Addr]string // the node of each endpoint; not published
}

// Publish computes what dc, this datacenter, publishes for a Source.
func Publish(dc catalog.Datacenter, source Source) Publication {
	if source.Export == nil || source.Export.DeletionTimestamp != nil {
		return Publication{}
	}
	p := Publication{Nodes: make(map[netip.Addr]string)}
	if p.Valid = validateSource(source); p.Valid.Status != metav1.ConditionTrue {
		return p
	}
	export := newExport(dc.Name, source.Export, source.Service)
	if p.Valid = validateExport(source, export); p.Valid.Status != metav1.ConditionTrue {
		return p
	}
	preference, ignored := PreferenceOf(source.Export.Annotations)
	export.Affinity = preference.Affinity
	p.Export = export
	var mirror string
	if p.Export.Mirror, mirror = mirrored(dc.Name, source.Export); mirror != "" {
		ignored = append(ignored, mirror)
	}
	p.Valid.Message = shorten(strings.Join(append([]string{p.Valid.Message}, ignored...), "; "))
	for _, s := range source.Slices {
		p.addSlice(dc, s)
	}
	slices.SortFunc(p.Slices, func(a, b catalog.EndpointSlice) int { return cmp.Compare(a.Slice, b.Slice) })
	slices.SortFunc(p.Excluded, netip.Addr.Compare)
	return p
}

// validateSource returns the condition Valid of a Service and its export, before
// the content of the export is checked.
func validateSource(source Source) metav1.Condition {
	switch {
	case source.Service == nil:
		return validCondition(source, mcsv1.ServiceExportReasonNoService,
			"there is no Service of this name in the namespace: create it or delete the export")
	case source.Service.Spec.Type == corev1.ServiceTypeExternalName:
		return validCondition(source, mcsv1.ServiceExportReasonInvalidServiceType,
			"a Service of type ExternalName cannot be exported: create it in each cluster")
	}
	return validCondition(source, mcsv1.ServiceExportReasonValid, "the Service can be exported")
}

// validateExport returns the condition Valid of the record of an export: Kubernetes
// in the other clusters and the catalog must accept it.
func validateExport(source Source, e *catalog.Export) metav1.Condition {
	if refused := refusedMetadata(e.Labels, e.Annotations); refused != "" {
		return validCondition(source, ReasonInvalidContent, refused)
	}
	if r := e.Check(); r != nil {
		return validCondition(source, ReasonInvalidContent, r.Error())
	}
	return validCondition(source, mcsv1.ServiceExportReasonValid, "the Service can be exported")
}

func validCondition(source Source, reason mcsv1.ServiceExportConditionReason, message string) metav1.Condition {
	status := metav1.ConditionFalse
	if reason == mcsv1.ServiceExportReasonValid {
		status = metav1.ConditionTrue
	}
	return metav1.Condition{
		Type: string(mcsv1.ServiceExportConditionValid), Status: status, Reason: string(reason),
		Message: shorten(message), ObservedGeneration: source.Export.Generation,
	}
}

func newExport(dc catalog.DatacenterName, export *mcsv1.ServiceExport, service *corev1.Service) *catalog.Export {
	e := &catalog.Export{
		ExportKey: catalog.ExportKey{Datacenter: dc, Namespace: export.Namespace, Name: export.Name},
		Type:      catalog.ClusterSetIP, SessionAffinity: catalog.NoSessionAffinity, Affinity: catalog.AffinityNone,
		Labels: export.Spec.ExportedLabels, Annotations: export.Spec.ExportedAnnotations,
		CreatedAt: export.CreationTimestamp.UTC(),
	}
	if service.Spec.ClusterIP == corev1.ClusterIPNone {
		e.Type = catalog.Headless
	}
	if service.Spec.SessionAffinity == corev1.ServiceAffinityClientIP {
		e.SessionAffinity = catalog.ClientIPAffinity
		if c := service.Spec.SessionAffinityConfig; c != nil && c.ClientIP != nil && c.ClientIP.TimeoutSeconds != nil {
			e.SessionAffinitySeconds = uint32(*c.ClientIP.TimeoutSeconds)
		}
	}
	for _, f := range service.Spec.IPFamilies {
		e.IPFamilies = append(e.IPFamilies, catalog.IPFamily(f))
	}
	if p := service.Spec.InternalTrafficPolicy; p != nil {
		e.InternalTrafficPolicy = string(*p)
	}
	if d := service.Spec.TrafficDistribution; d != nil {
		e.TrafficDistribution = *d
	}
	for _, p := range service.Spec.Ports {
		e.Ports = append(e.Ports, catalog.ExportPort{
			Name: p.Name, Protocol: protocol(p.Protocol), Number: uint16(p.Port), AppProtocol: value(p.AppProtocol),
		})
	}
	return e
}

// addSlice appends the endpoints of s that other datacenters can reach, in records
// of at most catalog.MaxSliceEndpoints. It skips slices that Meshway wrote, and those
// whose ports the Service does not have.
func (p *Publication) addSlice(dc catalog.Datacenter, s *discoveryv1.EndpointSlice) {
	if s.AddressType != discoveryv1.AddressTypeIPv4 && s.AddressType != discoveryv1.AddressTypeIPv6 || IsManagedSlice(s) {
		return
	}
	ports, used := slicePorts(s, p.Export.Ports)
	if !used {
		return
	}
	endpoints := p.endpoints(dc, s)
	for i, part := 0, 1; i < len(endpoints); i, part = i+catalog.MaxSliceEndpoints, part+1 {
		key := catalog.EndpointSliceKey{ExportKey: p.Export.ExportKey, Slice: recordName(s.Name, part)}
		p.Slices = append(p.Slices, catalog.EndpointSlice{
			EndpointSliceKey: key,
			Endpoints:        slices.Clone(endpoints[i:min(i+catalog.MaxSliceEndpoints, len(endpoints))]),
			Ports:            ports,
		})
	}
}

// recordName returns the name of a part of a slice. It differs from that of each other
// slice, because names in Kubernetes have no colon.
func recordName(slice string, part int) string {
	if part == 1 {
		return slice
	}
	suffix := fmt.Sprintf(":%d", part)
	if len(slice)+len(suffix) > validation.DNS1123SubdomainMaxLength {
		slice = "long:" + hash(slice)
	}
	return slice + suffix
}

// endpoints returns the endpoints of s with the first address of each: consumers
// use no other (API of EndpointSlice).
func (p *Publication) endpoints(dc catalog.Datacenter, s *discoveryv1.EndpointSlice) []catalog.Endpoint {
	var list []catalog.Endpoint
	for _, e := range s.Endpoints {
		if len(e.Addresses) == 0 {
			continue
		}
		a, err := netip.ParseAddr(e.Addresses[0])
		if err != nil {
			continue
		}
		if !dc.Contains(a) {
			p.Excluded = append(p.Excluded, a)
			continue
		}
		if e.NodeName != nil {
			p.Nodes[a] = *e.NodeName
		}
		list = append(list, catalog.Endpoint{
			Address: a, Ready: ready(e.Conditions), Terminating: !ready(e.Conditions) && terminating(e.Conditions),
			Hostname: value(e.Hostname), Zone: acceptedZone(value(e.Zone)),
		})
	}
	slices.SortFunc(list, func(a, b catalog.Endpoint) int { return a.Address.Compare(b.Address) })
	return list
}

// ready reports the condition Ready; the API defines unknown as true.
func ready(c discoveryv1.EndpointConditions) bool { return c.Ready == nil || *c.Ready }

// terminating reports whether an endpoint ends and still serves.
func terminating(c discoveryv1.EndpointConditions) bool {
	return value(c.Terminating) && value(c.Serving)
}

// maxAppProtocols is up to how many bytes of application protocols a record has, so that
// it fits into a command with the most endpoints.
const maxAppProtocols = 8 << 10

// slicePorts returns the ports of s that a Service with the ports exported has: there
// is no way to another one. It skips a port without a number, which means all ports,
// since a Service cannot express that, and one whose number is not valid, which the API
// of EndpointSlice permits. It reports false if that leaves none of its ports.
func slicePorts(s *discoveryv1.EndpointSlice, exported []catalog.ExportPort) ([]catalog.ExportPort, bool) {
	var ports []catalog.ExportPort
	numbered, size := 0, 0
	for _, p := range s.Ports {
		if p.Port == nil {
			continue
		}
		numbered++
		named := func(o catalog.ExportPort) bool { return o.Name == value(p.Name) }
		if *p.Port < 1 || *p.Port > math.MaxUint16 || !slices.ContainsFunc(exported, named) {
			continue
		}
		size += len(value(p.AppProtocol))
		ports = append(ports, catalog.ExportPort{
			Name: value(p.Name), Protocol: protocol(corev1.Protocol(value(p.Protocol))),
			Number: uint16(*p.Port), AppProtocol: value(p.AppProtocol),
		})
	}
	if size > maxAppProtocols {
		for i := range ports {
			ports[i].AppProtocol = ""
		}
	}
	slices.SortFunc(ports, func(a, b catalog.ExportPort) int { return cmp.Compare(a.Name, b.Name) })
	return ports, len(ports) > 0 || numbered == 0
}

// protocol returns the catalog's spelling of p; the API's default is TCP.
func protocol(p corev1.Protocol) string {
	return strings.ToLower(string(cmp.Or(p, corev1.ProtocolTCP)))
}

func value[T any](pointer *T) T {
	if pointer == nil {
		var zero T
		return zero
	}
	return *pointer
}
