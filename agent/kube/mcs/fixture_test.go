package mcs_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	mcsv1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/meshway/meshway/agent/kube/mcs"
	"github.com/meshway/meshway/consensus/catalog"
)

func web() catalog.ServiceName { return catalog.ServiceName{Namespace: "shop", Name: "web"} }

func created() time.Time { return time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC) }

func to[T any](v T) *T { return &v }

func east() catalog.Datacenter {
	return catalog.Datacenter{Name: "east", Prefixes: []catalog.Prefix{
		{CIDR: netip.MustParsePrefix("10.1.0.0/16"), Kind: catalog.PodPrefix},
		{CIDR: netip.MustParsePrefix("fd00:1::/64"), Kind: catalog.PodPrefix},
	}}
}

// source returns an exported Service with one slice of two endpoints, of which one
// is not ready.
func source() mcs.Source {
	meta := metav1.ObjectMeta{Namespace: "shop", Name: "web", Generation: 3, CreationTimestamp: metav1.NewTime(created())}
	return mcs.Source{
		Export: &mcsv1.ServiceExport{ObjectMeta: meta},
		Service: &corev1.Service{ObjectMeta: meta, Spec: corev1.ServiceSpec{
			ClusterIP: "10.96.0.7", ClusterIPs: []string{"10.96.0.7"}, IPFamilies: []corev1.IPFamily{corev1.IPv4Protocol},
			Ports:           []corev1.ServicePort{{Name: "http", Protocol: corev1.ProtocolTCP, Port: 80}},
			SessionAffinity: corev1.ServiceAffinityNone, InternalTrafficPolicy: to(corev1.ServiceInternalTrafficPolicyCluster),
		}},
		Slices: []*discoveryv1.EndpointSlice{slice("web-abc", "10.1.0.2", "!10.1.0.1")},
	}
}

// slice returns an EndpointSlice of this cluster; '!' marks an endpoint as not ready.
func slice(name string, addresses ...string) *discoveryv1.EndpointSlice {
	s := &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "shop", Name: name,
			Labels: map[string]string{discoveryv1.LabelServiceName: "web", discoveryv1.LabelManagedBy: "endpointslice-controller.k8s.io"},
		},
		AddressType: discoveryv1.AddressTypeIPv4,
		Ports:       []discoveryv1.EndpointPort{{Name: to("http"), Protocol: to(corev1.ProtocolTCP), Port: to(int32(8080))}},
	}
	for _, a := range addresses {
		address, unready := strings.CutPrefix(a, "!")
		if strings.Contains(address, ":") {
			s.AddressType = discoveryv1.AddressTypeIPv6
		}
		s.Endpoints = append(s.Endpoints, discoveryv1.Endpoint{
			Addresses: []string{address}, Conditions: discoveryv1.EndpointConditions{Ready: to(!unready)},
			NodeName: to("node-1"), Zone: to("zone-a"),
		})
	}
	return s
}

// exported returns the export of a datacenter; that of east is the oldest, then
// north, then west.
func exported(dc string, edit ...func(*catalog.Export)) catalog.Export {
	age := map[string]time.Duration{"east": 0, "north": time.Minute, "west": time.Hour}
	e := catalog.Export{
		ExportKey: catalog.ExportKey{Datacenter: catalog.DatacenterName(dc), Namespace: "shop", Name: "web"},
		Type:      catalog.ClusterSetIP, SessionAffinity: catalog.NoSessionAffinity, Affinity: catalog.AffinityNone,
		Ports:      []catalog.ExportPort{{Name: "http", Protocol: "tcp", Number: 80}},
		IPFamilies: []catalog.IPFamily{catalog.IPv4}, CreatedAt: created().Add(age[dc]),
	}
	for _, f := range edit {
		f(&e)
	}
	return e
}

func ports(list ...string) func(*catalog.Export) {
	return func(e *catalog.Export) {
		e.Ports = nil
		for _, text := range list {
			name, rest, _ := strings.Cut(text, " ")
			var p catalog.ExportPort
			if _, err := fmt.Sscanf(rest, "%d/%s", &p.Number, &p.Protocol); err != nil {
				panic(err)
			}
			if name != "-" {
				p.Name = name
			}
			e.Ports = append(e.Ports, p)
		}
	}
}

func typed(t catalog.ExportType) func(*catalog.Export) {
	return func(e *catalog.Export) { e.Type = t }
}

// endpoints returns the slice of a datacenter for the port of that name; '!' marks an
// endpoint as not ready.
func endpoints(dc, port string, addresses ...string) catalog.EndpointSlice {
	s := catalog.EndpointSlice{
		EndpointSliceKey: catalog.EndpointSliceKey{ExportKey: exported(dc).ExportKey, Slice: "web-" + port},
		Ports:            []catalog.ExportPort{{Name: port, Protocol: "tcp", Number: 8080}},
	}
	for _, a := range addresses {
		address, unready := strings.CutPrefix(a, "!")
		s.Endpoints = append(s.Endpoints, catalog.Endpoint{Address: netip.MustParseAddr(address), Ready: !unready, Zone: "zone-a"})
	}
	return s
}

func input(exports []catalog.Export, all ...catalog.EndpointSlice) mcs.Input {
	in := mcs.Input{Name: web(), Datacenter: "east", Exports: exports, Slices: all, Namespace: true}
	for _, e := range exports {
		if e.Datacenter == in.Datacenter {
			in.Own.Export = &e
		}
	}
	for _, s := range all {
		if s.Datacenter == in.Datacenter {
			in.Own.Slices = append(in.Own.Slices, s)
		}
	}
	return in
}

// addresses returns the addresses of all endpoints of i, sorted.
func addresses(i mcs.Import) string {
	var all []netip.Addr
	for _, s := range i.Slices {
		for _, e := range s.Endpoints {
			all = append(all, netip.MustParseAddr(e.Addresses[0]))
		}
	}
	slices.SortFunc(all, netip.Addr.Compare)
	var list []string
	for _, a := range all {
		list = append(list, a.String())
	}
	return strings.Join(list, " ")
}
