package catalogbench

import (
	"fmt"
	"net/netip"
	"strconv"
	"time"

	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/catalogpb"
)

// registrations is the number of different keys that are written.
const registrations = 1024

// endpointsPerExport is the most that one slice may have.
const endpointsPerExport = catalog.MaxSliceEndpoints

// namespace is that of all services of the bench.
const namespace = "bench"

// podsOf returns the pod prefix of datacenter i.
func podsOf(i int) netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(100 + i), 0, 0}), 16)
}

// nameOf returns the name of datacenter i.
func nameOf(i int) string { return "dc" + strconv.Itoa(i) }

// gatewayName is the name of the only gateway of each datacenter.
const gatewayName = "gateway"

// serviceOf returns registration n of datacenter dc, with a value.
func serviceOf(dc, n int, value string) catalog.Service {
	n %= registrations
	name := catalog.DatacenterName(nameOf(dc))
	base := podsOf(dc).Addr().As4()
	return catalog.Service{
		ServiceKey: catalog.ServiceKey{Datacenter: name, Namespace: namespace, Name: fmt.Sprintf("service-%d", n), Instance: "one"},
		Owner:      catalog.NewGatewayID(name, gatewayName),
		Address:    netip.AddrFrom4([4]byte{base[0], base[1], byte(n >> 8), byte(n)}),
		Ports:      []catalog.Port{{Name: "http", Protocol: "tcp", Number: 8080}},
		Labels:     map[string]string{"value": value},
	}
}

// batchOf returns a number of registrations of datacenter dc that begin with n.
func batchOf(dc, n, number int, value string) []catalog.Service {
	batch := make([]catalog.Service, number)
	for i := range batch {
		batch[i] = serviceOf(dc, n+i, value)
	}
	return batch
}

// endpointsOf returns export number n of datacenter dc, and its endpoints.
func endpointsOf(dc, n, endpoints int) []*catalogpb.Command {
	key := catalog.ExportKey{Datacenter: catalog.DatacenterName(nameOf(dc)), Namespace: namespace, Name: fmt.Sprintf("export-%d", n)}
	ports := []catalog.ExportPort{{Name: "http", Protocol: "tcp", Number: 8080}}
	slice := catalog.EndpointSlice{EndpointSliceKey: catalog.EndpointSliceKey{ExportKey: key, Slice: "one"}, Ports: ports}
	base := podsOf(dc).Addr().As4()
	for i := range endpoints {
		slice.Endpoints = append(slice.Endpoints, catalog.Endpoint{
			Address: netip.AddrFrom4([4]byte{base[0], base[1], byte(n), byte(i)}), Ready: true,
		})
	}
	export := catalog.Export{
		ExportKey: key, Type: catalog.ClusterSetIP, Ports: ports, SessionAffinity: catalog.NoSessionAffinity,
		IPFamilies: []catalog.IPFamily{catalog.IPv4}, Affinity: catalog.AffinityNone, CreatedAt: time.Unix(1, 0),
	}
	return []*catalogpb.Command{
		catalog.NewPutExports([]catalog.Export{export}),
		catalog.NewPutEndpoints([]catalog.EndpointSlice{slice}),
	}
}
