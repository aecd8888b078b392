package mcs_test

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/meshway/meshway/agent/kube/mcs"
	"github.com/meshway/meshway/consensus/catalog"
)

// FuzzPlan checks that an export of another cluster and its endpoints, which the catalog
// has accepted, lead only to objects that Kubernetes accepts, and that the endpoints of a
// third cluster stay in the import.
func FuzzPlan(f *testing.F) {
	f.Add("team", "a", "meshway.io/mirror", "true", "web-http", "http", "http", "tcp", uint16(80), "zone-a", []byte{10, 3, 0, 1}, "", byte(0))
	f.Add("a/b/c", "ä", "", "\x00", "WEB", "a", "k8s.io/", "sctp", uint16(443), "a b", []byte{0, 0, 0, 0}, "PreferClose", byte(7))
	f.Add("kubernetes.io/service-name", "other", "x", "y", "web_1", "http", "h2c", "udp", uint16(1), "z", netip.MustParseAddr("fd00::1").AsSlice(), "Other", byte(2))
	f.Fuzz(func(t *testing.T, labelKey, labelValue, annotationKey, annotationValue, sliceName, portName, appProtocol, protocol string,
		port uint16, zone string, address []byte, distribution string, flags byte,
	) {
		ports := []catalog.ExportPort{{Name: portName, Protocol: protocol, AppProtocol: appProtocol, Number: port}}
		hostile := exported("west", func(e *catalog.Export) {
			e.Labels, e.Annotations = map[string]string{labelKey: labelValue}, map[string]string{annotationKey: annotationValue}
			e.Ports, e.TrafficDistribution, e.Mirror = ports, distribution, flags&1 > 0
			if flags&2 > 0 {
				e.Type = catalog.Headless
			}
			if flags&4 > 0 { // the oldest one decides conflicts
				e.CreatedAt = created().AddDate(-1, 0, 0)
			}
		})
		addr, _ := netip.AddrFromSlice(address)
		foreign := catalog.EndpointSlice{
			EndpointSliceKey: catalog.EndpointSliceKey{ExportKey: hostile.ExportKey, Slice: sliceName}, Ports: ports,
			Endpoints: []catalog.Endpoint{{Address: addr, Ready: true, Zone: zone}},
		}
		if hostile.Check() != nil || foreign.Check(everywhere()) != nil {
			return // no member has it
		}
		in := input([]catalog.Export{hostile, exported("north")}, foreign, endpoints("north", "http", "10.2.0.1"))
		i := mcs.Plan(in)
		require.Equal(t, i, mcs.Plan(in), "a plan is a function of its input")
		require.NotNil(t, i.ServiceImport)
		requireAccepted(t, i.ServiceImport.ObjectMeta)
		for _, s := range append(slices.Clone(i.Mirrors), i.Service) {
			if s != nil {
				requireAccepted(t, s.ObjectMeta)
				assert.Empty(t, validation.IsDNS1035Label(s.Name))
			}
		}
		for _, s := range append(slices.Clone(i.Slices), i.MirrorSlices...) {
			requireSliceAccepted(t, s)
		}
		assert.Contains(t, addresses(i), "10.2.0.1")
	})
}

// everywhere returns a datacenter in which all addresses are.
func everywhere() (dc catalog.Datacenter) {
	for _, half := range []string{"0.0.0.0/1", "128.0.0.0/1", "::/1", "8000::/1"} {
		dc.Prefixes = append(dc.Prefixes, catalog.Prefix{CIDR: netip.MustParsePrefix(half), Kind: catalog.PodPrefix})
	}
	return dc
}

func requireAccepted(t *testing.T, m metav1.ObjectMeta) {
	t.Helper()
	require.Empty(t, validation.IsDNS1123Subdomain(m.Name), m.Name)
	for key, value := range m.Labels {
		require.Empty(t, validation.IsQualifiedName(key), key)
		require.Empty(t, validation.IsValidLabelValue(value), value)
	}
	for key := range m.Annotations {
		require.Empty(t, validation.IsQualifiedName(key), key)
	}
}

func requireSliceAccepted(t *testing.T, s *discoveryv1.EndpointSlice) {
	t.Helper()
	requireAccepted(t, s.ObjectMeta)
	for _, p := range s.Ports {
		require.NotZero(t, *p.Port)
		require.Contains(t, []string{"TCP", "UDP", "SCTP"}, string(*p.Protocol))
		if p.AppProtocol != nil {
			require.Empty(t, validation.IsQualifiedName(*p.AppProtocol), *p.AppProtocol)
		}
		if p.Name != nil && *p.Name != "" {
			require.Empty(t, validation.IsDNS1123Label(*p.Name), *p.Name)
		}
	}
	for _, e := range s.Endpoints {
		require.NotEmpty(t, e.Addresses)
		if e.Zone != nil {
			require.Empty(t, validation.IsValidLabelValue(*e.Zone), *e.Zone)
		}
		for _, text := range e.Addresses {
			a, err := netip.ParseAddr(text)
			require.NoError(t, err)
			require.False(t, a.IsLoopback() || a.IsUnspecified() || a.IsMulticast() || a.IsLinkLocalUnicast() || a.Is4In6(), text)
			require.Equal(t, s.AddressType == discoveryv1.AddressTypeIPv6, a.Is6())
		}
	}
}
