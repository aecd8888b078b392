package mcs

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	mcsv1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/meshway/meshway/consensus/catalog"
)

// Input is the input of Plan for one exported name.
type Input struct {
	Name       catalog.ServiceName
	Datacenter catalog.DatacenterName // this one
	Exports    []catalog.Export       // of the name, of all datacenters
	Rivals     []catalog.Export       // of other names, see Rivals
	Slices     []catalog.EndpointSlice
	Registered []catalog.Service // of the name, of the datacenters from which the namespace imports, see Registered
	Own        Publication       // of this cluster; may be newer than its records in the catalog
	Preference Preference
	Outage     Outage
	Namespace  bool // the namespace exists in this cluster and is not being deleted
}

// Import is the set of objects that this cluster should have for one exported name.
// Nil and empty fields are objects that should not exist.
type Import struct {
	ServiceImport *mcsv1.ServiceImport // without IPs and conditions, see CompleteImport
	Service       *corev1.Service      // the derived Service; nil for a headless one
	Slices        []*discoveryv1.EndpointSlice
	Mirrors       []*corev1.Service // one for each other datacenter that requests it
	MirrorSlices  []*discoveryv1.EndpointSlice
	Refused       []RefusedMirror  // mirrors whose name belongs to another exported name
	Conflict      metav1.Condition // for this cluster's ServiceExport
	Notice        string           // about registered instances that are not used, for the condition Ready
}

// Plan computes the objects that this cluster should have for one exported name.
func Plan(in Input) Import {
	in, notice := in.withOwn().withRegistered()
	merged, exported := Merge(in.Exports)
	if !exported {
		return Import{}
	}
	if !in.Namespace {
		return Import{Conflict: merged.Conflict}
	}
	i := Import{ServiceImport: in.serviceImport(merged), Conflict: merged.Conflict, Notice: notice}
	if merged.Spec.Type == mcsv1.ClusterSetIP {
		i.Service = in.derivedService(merged)
	}
	i.Slices = in.endpointSlices(merged)
	in.addMirrors(&i)
	return i
}

// withOwn replaces this datacenter's endpoints in the catalog by those of in.Own, so
// that they stay current while the catalog has no leader. The export itself counts
// only once it is in the catalog, where all members have it.
func (in Input) withOwn() Input {
	mine := func(dc catalog.DatacenterName) bool { return dc == in.Datacenter }
	known := slices.ContainsFunc(in.Exports, func(e catalog.Export) bool { return mine(e.Datacenter) })
	in.Exports = slices.DeleteFunc(slices.Clone(in.Exports), func(e catalog.Export) bool {
		return mine(e.Datacenter) && in.Own.Export == nil
	})
	in.Slices = slices.DeleteFunc(slices.Clone(in.Slices), func(s catalog.EndpointSlice) bool { return mine(s.Datacenter) })
	if known && in.Own.Export != nil {
		in.Slices = append(in.Slices, in.Own.Slices...)
	}
	return in
}

func (in Input) serviceImport(m Merged) *mcsv1.ServiceImport {
	i := &mcsv1.ServiceImport{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: in.Name.Namespace, Name: in.Name.Name,
			Labels: withEntry(m.Labels, ManagedByLabel, ManagedBy), Annotations: maps.Clone(m.Annotations),
		},
		Spec: m.Spec,
	}
	if m.Spec.Type == mcsv1.ClusterSetIP {
		i.Annotations = withEntry(m.Annotations, DerivedServiceAnnotation, DerivedName(in.Name))
	}
	for _, c := range m.Clusters {
		i.Status.Clusters = append(i.Status.Clusters, mcsv1.ClusterStatus{Cluster: c})
	}
	i.Status.EndpointSliceObjects = mcsv1.EndpointSliceObjectsPresent
	return i
}

// derivedService returns a Service without selector, whose endpoints are those of
// endpointSlices. For two IP families the cluster chooses the order, since it may
// support only one of them.
func (in Input) derivedService(m Merged) *corev1.Service {
	policy := corev1.IPFamilyPolicySingleStack
	families := m.Spec.IPFamilies
	if len(families) > 1 {
		policy, families = corev1.IPFamilyPolicyPreferDualStack, nil
	}
	s := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: in.Name.Namespace, Name: DerivedName(in.Name),
			Labels: map[string]string{ManagedByLabel: ManagedBy, mcsv1.LabelServiceName: in.Name.Name},
		},
		Spec: corev1.ServiceSpec{
			Type: corev1.ServiceTypeClusterIP, SessionAffinity: m.Spec.SessionAffinity,
			SessionAffinityConfig: m.Spec.SessionAffinityConfig, IPFamilies: families, IPFamilyPolicy: &policy,
			InternalTrafficPolicy: m.Spec.InternalTrafficPolicy, TrafficDistribution: m.Spec.TrafficDistribution,
		},
	}
	for _, p := range m.Spec.Ports {
		s.Spec.Ports = append(s.Spec.Ports, corev1.ServicePort{
			Name: portName(m.Spec.Ports, p), Protocol: p.Protocol, AppProtocol: p.AppProtocol, Port: p.Port,
		})
	}
	return s
}

// portName returns the name of p in a Service with the ports all. The single port
// of an export may have no name; a Service with several ports requires different names.
func portName(all []mcsv1.ServicePort, p mcsv1.ServicePort) string {
	if p.Name != "" || len(all) == 1 {
		return p.Name
	}
	name := fmt.Sprintf("%s-%d", protocol(p.Protocol), p.Port)
	for slices.ContainsFunc(all, func(o mcsv1.ServicePort) bool { return o.Name == name }) {
		name += "-0"
	}
	return name
}

// sourced is an EndpointSlice with the datacenter of its endpoints.
type sourced struct {
	*discoveryv1.EndpointSlice
	datacenter catalog.DatacenterName
}

// endpointSlices returns the slices of the endpoints that the outage and the
// preference do not exclude.
func (in Input) endpointSlices(m Merged) []*discoveryv1.EndpointSlice {
	var local, remote []sourced
	for _, s := range in.Slices {
		if in.withdrawn(s.Datacenter) {
			continue
		}
		made := sourced{in.endpointSlice(m, s), s.Datacenter}
		switch {
		case made.EndpointSlice == nil:
		case s.Datacenter == in.Datacenter:
			local = append(local, made)
		default:
			remote = append(remote, made)
		}
	}
	remote = slices.DeleteFunc(remote, func(s sourced) bool { return in.dispensable(s, local) })
	var chosen []*discoveryv1.EndpointSlice
	for _, s := range in.Preference.choose(in.Datacenter, slices.Concat(local, remote)) {
		chosen = append(chosen, s.EndpointSlice)
	}
	slices.SortFunc(chosen, func(a, b *discoveryv1.EndpointSlice) int { return cmp.Compare(a.Name, b.Name) })
	return chosen
}

// readyEndpoints returns the number of ready endpoints of list, of the IP family
// that has more: an endpoint with two addresses is in two slices.
func readyEndpoints(list []sourced) int {
	count := map[discoveryv1.AddressType]int{}
	most := 0
	for _, s := range list {
		for _, e := range s.Endpoints {
			if ready(e.Conditions) {
				count[s.AddressType]++
			}
		}
		most = max(most, count[s.AddressType])
	}
	return most
}

// withdrawn reports whether the endpoints of dc are withdrawn. Those of this
// datacenter never are.
func (in Input) withdrawn(dc catalog.DatacenterName) bool {
	return dc != in.Datacenter && slices.Contains(in.Outage.Withdrawn, dc)
}

// dispensable reports whether remote belongs to a doubtful datacenter and ready
// endpoints of local serve all of its ports to clients of its address family.
func (in Input) dispensable(remote sourced, local []sourced) bool {
	if !slices.Contains(in.Outage.Doubtful, remote.datacenter) {
		return false
	}
	served, some := make(map[string]bool), false
	for _, s := range local {
		if s.AddressType != remote.AddressType || readyEndpoints([]sourced{s}) == 0 {
			continue
		}
		some = true
		for _, p := range s.Ports {
			served[value(p.Name)] = true
		}
	}
	lacking := slices.ContainsFunc(remote.Ports, func(p discoveryv1.EndpointPort) bool { return !served[value(p.Name)] })
	return some && !lacking
}

// endpointSlice returns the object for s, or nil if s has no endpoint to use on a
// port of the merged service: one that is ready, or that terminates and still serves,
// which kube-proxy uses while no endpoint of the Service is ready (KEP-1669).
func (in Input) endpointSlice(m Merged, s catalog.EndpointSlice) *discoveryv1.EndpointSlice {
	ports, some := in.ports(m, s)
	if !some {
		return nil
	}
	made := &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: in.Name.Namespace, Name: sliceName(s.EndpointSliceKey),
			Labels: map[string]string{
				mcsv1.LabelServiceName:     in.Name.Name,
				mcsv1.LabelSourceCluster:   string(s.Datacenter),
				discoveryv1.LabelManagedBy: ManagedBy,
			},
		},
		AddressType: discoveryv1.AddressTypeIPv4, Ports: ports,
	}
	if m.Spec.Type == mcsv1.ClusterSetIP {
		made.Labels[discoveryv1.LabelServiceName] = DerivedName(in.Name)
	}
	for _, e := range s.Endpoints {
		if !e.Ready && !e.Terminating || !acceptedAddress(e.Address) {
			continue
		}
		if e.Address.Is6() {
			made.AddressType = discoveryv1.AddressTypeIPv6
		}
		made.Endpoints = append(made.Endpoints, in.endpoint(m, s.Datacenter, e))
	}
	if len(made.Endpoints) == 0 {
		return nil
	}
	return made
}

func (in Input) endpoint(m Merged, dc catalog.DatacenterName, e catalog.Endpoint) discoveryv1.Endpoint {
	e.Zone = acceptedZone(e.Zone)
	made := discoveryv1.Endpoint{
		Addresses: []string{e.Address.String()}, Conditions: discoveryv1.EndpointConditions{Ready: &e.Ready},
		Hostname: pointer(e.Hostname), Zone: pointer(e.Zone),
	}
	if e.Terminating {
		made.Conditions.Serving, made.Conditions.Terminating = &e.Terminating, &e.Terminating
	}
	if dc == in.Datacenter {
		made.NodeName = pointer(in.Own.Nodes[e.Address])
	}
	if m.Spec.TrafficDistribution != nil && e.Zone != "" {
		made.Hints = &discoveryv1.EndpointHints{ForZones: []discoveryv1.ForZone{{Name: e.Zone}}}
	}
	return made
}

// ports returns the ports of s under their names in the derived Service. It omits a
// port that its datacenter exports with another protocol or number than the merged
// service has, so that a request never reaches a port of another meaning. It reports
// whether s can be used: a headless service may have no ports at all.
func (in Input) ports(m Merged, s catalog.EndpointSlice) ([]discoveryv1.EndpointPort, bool) {
	i := slices.IndexFunc(in.Exports, func(e catalog.Export) bool { return e.Datacenter == s.Datacenter })
	if i < 0 {
		return nil, false
	}
	var ports []discoveryv1.EndpointPort
	for _, p := range s.Ports {
		name, ok := mergedName(m.Spec.Ports, in.Exports[i].Ports, p.Name)
		if !ok {
			continue
		}
		number, proto := int32(p.Number), corev1.Protocol(strings.ToUpper(p.Protocol))
		ports = append(ports, discoveryv1.EndpointPort{
			Name: &name, Protocol: &proto, Port: &number, AppProtocol: pointer(acceptedName(p.AppProtocol)),
		})
	}
	return ports, len(ports) > 0 || m.Spec.Type == mcsv1.Headless && len(s.Ports) == 0
}

// mergedName returns the name that the port called name in exported has in the
// merged service. It reports false if the merged service does not have the port.
func mergedName(merged []mcsv1.ServicePort, exported []catalog.ExportPort, name string) (string, bool) {
	i := slices.IndexFunc(exported, func(p catalog.ExportPort) bool { return p.Name == name })
	if i < 0 {
		return "", false
	}
	port := exported[i]
	j := slices.IndexFunc(merged, func(p mcsv1.ServicePort) bool {
		return protocol(p.Protocol) == port.Protocol && p.Port == int32(port.Number)
	})
	if j < 0 {
		return "", false
	}
	return portName(merged, merged[j]), true
}

// withEntry returns a copy of m with one more entry.
func withEntry(m map[string]string, key, value string) map[string]string {
	all := make(map[string]string, len(m)+1)
	maps.Copy(all, m)
	all[key] = value
	return all
}

// pointer returns nil for an empty text.
func pointer(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}
