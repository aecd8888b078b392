package catalog

import (
	"fmt"
	"maps"

	"github.com/meshway/meshway/consensus/catalog/catalogpb"
)

// Proto returns the wire form.
func (e Export) Proto() *catalogpb.Export {
	p := &catalogpb.Export{
		Datacenter: string(e.Datacenter), Namespace: e.Namespace, Name: e.Name,
		Type: string(e.Type), Ports: exportPortsProto(e.Ports),
		SessionAffinity: string(e.SessionAffinity), SessionAffinitySeconds: e.SessionAffinitySeconds,
		InternalTrafficPolicy: e.InternalTrafficPolicy, TrafficDistribution: e.TrafficDistribution,
		Labels: maps.Clone(e.Labels), Annotations: maps.Clone(e.Annotations),
		Affinity: string(e.Affinity), Mirror: e.Mirror, CreatedAt: timeProto(e.CreatedAt), ModifiedIndex: e.ModifiedIndex,
	}
	for _, f := range e.IPFamilies {
		p.IpFamilies = append(p.IpFamilies, string(f))
	}
	return p
}

// ExportFromProto parses the wire form.
func ExportFromProto(p *catalogpb.Export) (Export, error) {
	var read fieldReader
	e := Export{
		ExportKey: ExportKeyFromProto(p), Type: ExportType(p.GetType()),
		Ports:                  read.exportPorts(p.GetPorts()),
		SessionAffinity:        SessionAffinity(p.GetSessionAffinity()),
		SessionAffinitySeconds: p.GetSessionAffinitySeconds(),
		InternalTrafficPolicy:  p.GetInternalTrafficPolicy(), TrafficDistribution: p.GetTrafficDistribution(),
		Affinity: Affinity(p.GetAffinity()), Mirror: p.GetMirror(), CreatedAt: read.time("created_at", p.GetCreatedAt()),
		ModifiedIndex: p.GetModifiedIndex(),
	}
	if len(p.GetLabels()) > 0 {
		e.Labels = maps.Clone(p.GetLabels())
	}
	if len(p.GetAnnotations()) > 0 {
		e.Annotations = maps.Clone(p.GetAnnotations())
	}
	for _, f := range p.GetIpFamilies() {
		e.IPFamilies = append(e.IPFamilies, IPFamily(f))
	}
	return e, read.refusal.err()
}

// ExportKeyFromProto returns the key in the wire form of a record.
func ExportKeyFromProto(p *catalogpb.Export) ExportKey {
	return ExportKey{Datacenter: DatacenterName(p.GetDatacenter()), Namespace: p.GetNamespace(), Name: p.GetName()}
}

// Proto returns the wire form.
func (s EndpointSlice) Proto() *catalogpb.EndpointSlice {
	p := &catalogpb.EndpointSlice{
		Datacenter: string(s.Datacenter), Namespace: s.Namespace, Name: s.Name, Slice: s.Slice,
		Ports: exportPortsProto(s.Ports), ModifiedIndex: s.ModifiedIndex,
	}
	for _, e := range s.Endpoints {
		p.Endpoints = append(p.Endpoints, &catalogpb.Endpoint{
			Address: addrText(e.Address), Ready: e.Ready, Hostname: e.Hostname, Zone: e.Zone, Terminating: e.Terminating,
		})
	}
	return p
}

// EndpointSliceFromProto parses the wire form.
func EndpointSliceFromProto(p *catalogpb.EndpointSlice) (EndpointSlice, error) {
	var read fieldReader
	s := EndpointSlice{
		EndpointSliceKey: EndpointSliceKeyFromProto(p), Ports: read.exportPorts(p.GetPorts()),
		ModifiedIndex: p.GetModifiedIndex(),
	}
	for i, e := range p.GetEndpoints() {
		s.Endpoints = append(s.Endpoints, Endpoint{
			Address: read.addr(fmt.Sprintf("endpoints[%d].address", i), e.GetAddress()),
			Ready:   e.GetReady(), Hostname: e.GetHostname(), Zone: e.GetZone(), Terminating: e.GetTerminating(),
		})
	}
	return s, read.refusal.err()
}

// EndpointSliceKeyFromProto returns the key in the wire form of a record.
func EndpointSliceKeyFromProto(p *catalogpb.EndpointSlice) EndpointSliceKey {
	return EndpointSliceKey{
		ExportKey: ExportKey{Datacenter: DatacenterName(p.GetDatacenter()), Namespace: p.GetNamespace(), Name: p.GetName()},
		Slice:     p.GetSlice(),
	}
}

func exportPortsProto(ports []ExportPort) []*catalogpb.ExportPort {
	var list []*catalogpb.ExportPort
	for _, p := range ports {
		list = append(list, &catalogpb.ExportPort{
			Name: p.Name, Protocol: p.Protocol, Number: uint32(p.Number), AppProtocol: p.AppProtocol,
		})
	}
	return list
}

func (r *fieldReader) exportPorts(list []*catalogpb.ExportPort) []ExportPort {
	var ports []ExportPort
	for i, p := range list {
		ports = append(ports, ExportPort{
			Name: p.GetName(), Protocol: p.GetProtocol(),
			Number: r.port(At("ports", i), p.GetNumber()), AppProtocol: p.GetAppProtocol(),
		})
	}
	return ports
}
