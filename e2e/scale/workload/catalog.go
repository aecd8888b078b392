package workload

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/batch"
	"github.com/meshway/meshway/consensus/catalog/catalogpb"
	"github.com/meshway/meshway/consensus/consensustest"
)

// commandRecords is how many records one command writes.
const commandRecords = 100

// Init returns the command that creates the federation.
func (s Size) Init() *catalogpb.Command {
	return written(s.Self(), consensustest.NewInit(s.Self().Datacenter(), s.Self().Name()))
}

// Members returns the commands with which all datacenters join the federation.
func (s Size) Members() []*catalogpb.Command {
	var out []*catalogpb.Command
	for dc := range s.Datacenters {
		name, first := consensustest.DatacenterName(dc), gatewayID(dc, 0)
		if dc > 0 {
			create, join := consensustest.NewJoin(s.Self(), name, first.Name())
			out = append(out, written(s.Self(), create), written(s.Self(), join))
		}
		for n := range s.Gateways {
			if n > 0 {
				out = append(out, written(first, consensustest.NewAddGateway(first, name, gatewayName(n))))
			}
		}
		out = append(out, written(first, catalog.NewUpdateDatacenter(catalog.Datacenter{Name: name, Prefixes: s.PrefixesOf(dc)})))
	}
	return out
}

// Content returns the commands that write observations, services, exports and
// their endpoints.
func (s Size) Content() []*catalogpb.Command {
	var out []*catalogpb.Command
	all := s.Catalog().Observations
	for observations := range slices.Chunk(all, max(len(all)/(s.Datacenters*s.Gateways), 1)) {
		for chunk := range slices.Chunk(observations, commandRecords) {
			out = append(out, written(chunk[0].Observer, catalog.NewPutObservations(chunk)))
		}
	}
	each, endpoints := s.Services/s.Datacenters, s.Endpoints/s.Services
	for dc := range s.Datacenters {
		var services []catalog.Service
		var exports []catalog.Export
		var lists []catalog.EndpointSlice
		for i := range each {
			services = append(services, s.Service(dc, i, "one"))
			e, l := export(dc, i, endpoints)
			exports, lists = append(exports, e), append(lists, l)
		}
		author := gatewayID(dc, 0)
		for chunk := range slices.Chunk(services, commandRecords) {
			out = append(out, written(author, catalog.NewPutServices(chunk)))
		}
		for _, c := range slices.Concat(batch.Exports(exports), batch.Endpoints(lists)) {
			out = append(out, written(author, c))
		}
	}
	return out
}

// Service returns service i of a datacenter with a label.
func (s Size) Service(dc, i int, label string) catalog.Service {
	return catalog.Service{
		ServiceKey: catalog.ServiceKey{
			Datacenter: consensustest.DatacenterName(dc), Namespace: "default", Name: fmt.Sprint("service", i), Instance: "a",
		},
		Owner: gatewayID(dc, 0), Address: netip.AddrFrom4([4]byte{10, byte(dc), 0, byte(1 + i%8)}),
		Ports: []catalog.Port{{Name: "http", Protocol: "tcp", Number: 80}}, Labels: map[string]string{"app": label},
	}
}

// Change returns the command of the n-th write of a service of another datacenter,
// which differs from the write before.
func (s Size) Change(n int) *catalogpb.Command {
	dc := 1 + n%(s.Datacenters-1)
	return written(gatewayID(dc, 0), catalog.NewPutServices([]catalog.Service{s.Service(dc, 0, fmt.Sprint("write", n))}))
}

// MoreOfOthers returns the commands that give each other datacenter twice as many services.
func (s Size) MoreOfOthers() []*catalogpb.Command {
	var out []*catalogpb.Command
	each := s.Services / s.Datacenters
	for dc := 1; dc < s.Datacenters; dc++ {
		for i := range each {
			out = append(out, written(gatewayID(dc, 0), catalog.NewPutServices([]catalog.Service{s.Service(dc, each+i, "one")})))
		}
	}
	return out
}

// export returns export i of a datacenter, with its endpoints in one slice.
func export(dc, i, endpoints int) (catalog.Export, catalog.EndpointSlice) {
	name, namespace := fmt.Sprintf("web-%d-%d", dc, i), "default"
	key := catalog.ExportKey{Datacenter: consensustest.DatacenterName(dc), Namespace: namespace, Name: name}
	ports := []catalog.ExportPort{{Name: "http", Protocol: "tcp", Number: 80}}
	e := catalog.Export{
		ExportKey: key, Type: catalog.ClusterSetIP, Ports: ports, IPFamilies: []catalog.IPFamily{catalog.IPv4},
		SessionAffinity: catalog.NoSessionAffinity, Affinity: catalog.AffinityNone, CreatedAt: now(),
	}
	l := catalog.EndpointSlice{
		EndpointSliceKey: catalog.EndpointSliceKey{ExportKey: key, Slice: name + "-a"}, Ports: ports,
	}
	for n := range endpoints {
		l.Endpoints = append(l.Endpoints, catalog.Endpoint{
			Address: netip.AddrFrom4([4]byte{10, byte(dc), 1, byte(n + 1)}), Hostname: fmt.Sprint("pod-", n), Zone: "zone-a", Ready: true,
		})
	}
	return e, l
}

// written sets the author and the time of a command.
func written(author catalog.GatewayID, c *catalogpb.Command) *catalogpb.Command {
	c.Author, c.At = string(author), timestamppb.New(time.Now())
	return c
}
