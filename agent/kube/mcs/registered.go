package mcs

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/replica"
)

// ImportAnnotation on a Namespace makes its cluster import the services that are
// registered (meshctl service register) in the namespace of that name: "true" those of
// all datacenters, or names of datacenters separated by commas.
const ImportAnnotation = "meshway.io/import"

// maxRegisteredPorts is how many ports the registered instances of a name have together,
// as many as an export.
const maxRegisteredPorts = 256

// Origins is the set of datacenters whose registered services a namespace imports. The
// zero value has none.
type Origins struct {
	all         bool
	datacenters []catalog.DatacenterName
}

// OriginsOf reads ImportAnnotation. It reports false, and returns none, if the value is
// unknown.
func OriginsOf(annotations map[string]string) (Origins, bool) {
	switch text := annotations[ImportAnnotation]; text {
	case "", "false":
		return Origins{}, true
	case "true":
		return Origins{all: true}, true
	default:
		var o Origins
		for name := range strings.SplitSeq(text, ",") {
			name = strings.TrimSpace(name)
			if name == "true" || name == "false" || len(validation.IsDNS1123Label(name)) > 0 {
				return Origins{}, false
			}
			o.datacenters = append(o.datacenters, catalog.DatacenterName(name))
		}
		return o, true
	}
}

// None reports whether o is empty.
func (o Origins) None() bool { return !o.all && len(o.datacenters) == 0 }

func (o Origins) has(dc catalog.DatacenterName) bool {
	return o.all || slices.Contains(o.datacenters, dc)
}

// Registered returns the instances of a name that datacenters of o registered.
func Registered(v *replica.View, name catalog.ServiceName, o Origins) []catalog.Service {
	if o.None() {
		return nil
	}
	all := v.Services(replica.ServiceFilter{Namespace: name.Namespace, Name: name.Name})
	return slices.DeleteFunc(all, func(s catalog.Service) bool { return !o.has(s.Datacenter) })
}

// withRegistered returns in with the registered instances in place of exports. While a
// datacenter exports the name, they are not used, so that no registration changes an
// exported service. The result has a sentence about those that are not used, or none.
func (in Input) withRegistered() (Input, string) {
	if len(in.Registered) == 0 {
		return in, ""
	}
	if len(in.Exports) > 0 {
		return in, fmt.Sprintf("%s not used, since datacenter %s exports the name", instances(in.Registered), in.Exports[0].Datacenter)
	}
	var unused []catalog.Service
	in.Exports, in.Slices, unused = asExports(in.Name, in.Registered)
	if len(unused) == 0 {
		return in, ""
	}
	return in, instances(unused) + " not used, since none of its ports has the name or number, and the protocol, of one of the service"
}

// instances describes instances in a sentence.
func instances(list []catalog.Service) string {
	if len(list) == 1 {
		return fmt.Sprintf("registered instance %s of datacenter %s is", list[0].Instance, list[0].Datacenter)
	}
	return fmt.Sprintf("%d registered instances, such as %s of datacenter %s, are", len(list), list[0].Instance, list[0].Datacenter)
}

// asExports returns registered instances of one name as exports of their datacenters with
// ready endpoints, and the instances that have no port of the service. The exports have
// equal properties. Ports are united as those of exports are, where the instance that is
// unchanged for the longest time takes precedence. An instance may have another number
// under the name of a port: it is the one of its endpoint. Without any ports the service
// is headless, because a Service with an address has ports.
func asExports(name catalog.ServiceName, registered []catalog.Service) ([]catalog.Export, []catalog.EndpointSlice, []catalog.Service) {
	shared := catalog.Export{
		Type: catalog.ClusterSetIP, SessionAffinity: catalog.NoSessionAffinity, Affinity: catalog.AffinityNone,
		Ports: unitedPorts(registered), IPFamilies: families(registered),
	}
	if len(shared.Ports) == 0 {
		shared.Type = catalog.Headless
	}
	type group struct {
		datacenter catalog.DatacenterName
		family     catalog.IPFamily
		ports      string
	}
	endpoints, ports := map[group][]catalog.Endpoint{}, map[group][]catalog.ExportPort{}
	var unused []catalog.Service
	for _, s := range registered { // sorted by instance
		p := servedPorts(s.Ports, shared.Ports)
		if len(p) == 0 && len(shared.Ports) > 0 {
			unused = append(unused, s)
			continue
		}
		g := group{s.Datacenter, family(s), portList(p)}
		e := catalog.Endpoint{Address: s.Address, Ready: true}
		if len(validation.IsDNS1123Label(s.Instance)) == 0 {
			e.Hostname = s.Instance
		}
		endpoints[g], ports[g] = append(endpoints[g], e), p
	}
	exports := map[catalog.DatacenterName]catalog.Export{}
	var made []catalog.EndpointSlice
	for g, list := range endpoints {
		e := shared
		e.ExportKey = catalog.ExportKey{Datacenter: g.datacenter, Namespace: name.Namespace, Name: name.Name}
		exports[g.datacenter] = e
		for n, part := range slices.Collect(slices.Chunk(list, catalog.MaxSliceEndpoints)) {
			made = append(made, catalog.EndpointSlice{
				EndpointSliceKey: catalog.EndpointSliceKey{
					ExportKey: e.ExportKey, Slice: fmt.Sprintf("registered:%s:%s:%d", g.family, hash(g.ports), n), // no slice of an export has this name
				},
				Endpoints: part, Ports: ports[g],
			})
		}
	}
	slices.SortFunc(made, func(a, b catalog.EndpointSlice) int {
		return cmp.Or(cmp.Compare(a.Datacenter, b.Datacenter), cmp.Compare(a.Slice, b.Slice))
	})
	return slices.SortedFunc(maps.Values(exports), compareAge), made, unused
}

// unitedPorts returns those ports of instances whose name is not repeated and whose
// protocol and number are not.
func unitedPorts(registered []catalog.Service) []catalog.ExportPort {
	byAge := slices.SortedStableFunc(slices.Values(registered), func(a, b catalog.Service) int {
		return cmp.Compare(a.ModifiedIndex, b.ModifiedIndex)
	})
	var ports []catalog.ExportPort
	for _, s := range byAge {
		for _, p := range s.Ports {
			taken := slices.ContainsFunc(ports, func(o catalog.ExportPort) bool {
				return o.Name == p.Name || o.Protocol == p.Protocol && o.Number == p.Number
			})
			if !taken && len(ports) < maxRegisteredPorts {
				ports = append(ports, catalog.ExportPort{Name: p.Name, Protocol: p.Protocol, Number: p.Number})
			}
		}
	}
	return ports
}

// servedPorts returns the ports of an instance under their names in the service: those of
// equal name and protocol, else of equal number and protocol.
func servedPorts(have []catalog.Port, service []catalog.ExportPort) []catalog.ExportPort {
	named := func(p catalog.Port, o catalog.ExportPort) bool { return p.Name == o.Name && p.Protocol == o.Protocol }
	isNamed := func(p catalog.Port) bool {
		return slices.ContainsFunc(service, func(o catalog.ExportPort) bool { return named(p, o) })
	}
	var served []catalog.ExportPort
	for _, o := range service {
		i := slices.IndexFunc(have, func(p catalog.Port) bool { return named(p, o) })
		if i < 0 {
			i = slices.IndexFunc(have, func(p catalog.Port) bool {
				return p.Protocol == o.Protocol && p.Number == o.Number && !isNamed(p)
			})
		}
		if i >= 0 {
			served = append(served, catalog.ExportPort{Name: o.Name, Protocol: o.Protocol, Number: have[i].Number})
		}
	}
	return served
}

func family(s catalog.Service) catalog.IPFamily {
	if s.Address.Is4() {
		return catalog.IPv4
	}
	return catalog.IPv6
}

// families returns the families of the addresses, IPv4 first.
func families(registered []catalog.Service) []catalog.IPFamily {
	var found []catalog.IPFamily
	for _, s := range registered {
		if f := family(s); !slices.Contains(found, f) {
			found = append(found, f)
		}
	}
	slices.Sort(found)
	return found
}
