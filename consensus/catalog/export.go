package catalog

import (
	"fmt"
	"maps"
	"slices"

	"google.golang.org/protobuf/proto"
)

// Equal reports whether e and o are equal apart from ModifiedIndex.
func (e Export) Equal(o Export) bool {
	return e.ExportKey == o.ExportKey && e.Type == o.Type && e.SessionAffinity == o.SessionAffinity &&
		e.SessionAffinitySeconds == o.SessionAffinitySeconds && e.InternalTrafficPolicy == o.InternalTrafficPolicy &&
		e.TrafficDistribution == o.TrafficDistribution && e.Affinity == o.Affinity && e.Mirror == o.Mirror &&
		e.CreatedAt.Equal(o.CreatedAt) && slices.Equal(e.Ports, o.Ports) &&
		slices.Equal(e.IPFamilies, o.IPFamilies) && maps.Equal(e.Labels, o.Labels) &&
		maps.Equal(e.Annotations, o.Annotations)
}

// Check returns why the catalog refuses k, or nil. It does not check the datacenter.
func (k ExportKey) Check() *Refusal {
	if r := CheckName("namespace", k.Namespace); r != nil {
		return r
	}
	return CheckName("name", k.Name)
}

// Check returns why the catalog refuses the content of e, or nil. It does not check
// the key.
func (e Export) Check() *Refusal {
	for _, c := range []struct {
		field, value string
		allowed      []string
	}{
		{"type", string(e.Type), []string{string(ClusterSetIP), string(Headless)}},
		{"session_affinity", string(e.SessionAffinity), []string{string(NoSessionAffinity), string(ClientIPAffinity)}},
		{"internal_traffic_policy", e.InternalTrafficPolicy, []string{"", "Cluster", "Local"}},
		{"affinity", string(e.Affinity), []string{string(AffinityNone), string(AffinityLocal), string(AffinityRemote)}},
	} {
		if !slices.Contains(c.allowed, c.value) {
			return invalidExport(c.field, fmt.Sprintf("value %q is unknown", Shorten(c.value)), fmt.Sprintf("use one of %q", c.allowed))
		}
	}
	switch {
	case e.SessionAffinitySeconds > maxAffinitySeconds:
		return invalidExport("session_affinity_seconds", "the session affinity is longer than a day", "use 1 to 86400")
	case len(e.TrafficDistribution) > maxNameLength:
		return invalidExport("traffic_distribution", "the traffic distribution is too long", "use at most 63 bytes")
	case e.CreatedAt.IsZero():
		return invalidExport("created_at", "the creation time is missing", "send the creation time of the ServiceExport")
	}
	if r := checkFamilies(e.IPFamilies); r != nil {
		return r
	}
	if r := checkExportPorts(e.Ports); r != nil {
		return r
	}
	if r := checkLabels(e.Labels); r != nil {
		return r
	}
	if r := checkLabels(e.Annotations); r != nil {
		r.Field = "annotations"
		return r
	}
	if size := proto.Size(e.Proto()); size > maxExportSize {
		return tooLarge("ports", fmt.Sprintf("the export has %d bytes", size),
			fmt.Sprintf("use fewer or shorter ports, labels and annotations: at most %d bytes together", maxExportSize))
	}
	return nil
}

func invalidExport(field, message, remedy string) *Refusal {
	return &Refusal{Code: CodeExportInvalid, Field: field, Message: message, Remedy: remedy}
}

func checkFamilies(families []IPFamily) *Refusal {
	for i, f := range families {
		if f != IPv4 && f != IPv6 || slices.Contains(families[:i], f) {
			return invalidExport(At("ip_families", i), fmt.Sprintf("IP family %q is unknown or repeated", Shorten(string(f))),
				"use IPv4, IPv6 or both")
		}
	}
	return nil
}

// checkExportPorts applies the rules of Kubernetes for the ports of a Service.
func checkExportPorts(ports []ExportPort) *Refusal {
	if len(ports) > maxExportPorts {
		return tooLarge("ports", fmt.Sprintf("%d ports are too many", len(ports)), fmt.Sprintf("use at most %d", maxExportPorts))
	}
	for i, p := range ports {
		if r := checkPort(i, p.Number, p.Protocol, p.Name, "tcp", "udp", "sctp"); r != nil {
			return r
		}
		if len(p.AppProtocol) > maxAppProtocolLength {
			return refusePort(i, "the application protocol is too long", "use at most 317 bytes")
		}
		if slices.ContainsFunc(ports[:i], func(o ExportPort) bool { return o.Name == p.Name }) {
			return refusePort(i, "the port name is repeated", "give each port a unique name")
		}
	}
	return nil
}
