package catalog

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/hashicorp/go-memdb"
	"google.golang.org/protobuf/proto"

	"github.com/meshway/meshway/consensus/catalog/catalogpb"
)

// putExports stores exports, all of the command or none.
func (w *writer) putExports(req request, body *catalogpb.PutExports) (Result, *Refusal) {
	exports := make([]*Export, 0, len(body.GetExports()))
	for i, p := range body.GetExports() {
		e, err := ExportFromProto(p)
		if err != nil {
			return Result{}, asRefusal(err).in(at("exports", i))
		}
		if r := checkExport(req, e); r != nil {
			return Result{}, r.in(at("exports", i))
		}
		exports = append(exports, &e)
	}
	for _, e := range exports {
		if have := export(w.txn, e.ExportKey); have != nil && have.Equal(*e) {
			continue // ModifiedIndex stays, so that readers can skip the record
		}
		e.ModifiedIndex = w.index
		insert(w.txn, tableExports, e)
	}
	return Result{}, nil
}

// Equal reports whether e and o are equal apart from ModifiedIndex.
func (e Export) Equal(o Export) bool {
	return e.ExportKey == o.ExportKey && e.Type == o.Type && e.SessionAffinity == o.SessionAffinity &&
		e.SessionAffinitySeconds == o.SessionAffinitySeconds && e.InternalTrafficPolicy == o.InternalTrafficPolicy &&
		e.TrafficDistribution == o.TrafficDistribution && e.Affinity == o.Affinity && e.Mirror == o.Mirror &&
		e.CreatedAt.Equal(o.CreatedAt) && slices.Equal(e.Ports, o.Ports) &&
		slices.Equal(e.IPFamilies, o.IPFamilies) && maps.Equal(e.Labels, o.Labels) &&
		maps.Equal(e.Annotations, o.Annotations)
}

func checkExport(req request, e Export) *Refusal {
	if r := checkExportKey(req, e.ExportKey); r != nil {
		return r
	}
	return e.Check()
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
			return invalidExport(c.field, fmt.Sprintf("value %q is unknown", shorten(c.value)), fmt.Sprintf("use one of %q", c.allowed))
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
		return &Refusal{
			Code: CodeTooLarge, Field: "ports", Message: fmt.Sprintf("the export has %d bytes", size),
			Remedy: fmt.Sprintf("use fewer or shorter ports, labels and annotations: at most %d bytes together", maxExportSize),
		}
	}
	return nil
}

// firstSeen returns cmd with exports that are not older than the catalog can
// confirm. The oldest of several exports of one name decides their conflicts, that
// of several with one mirror name has it, and an exporter could choose any age: so
// the first one that the catalog has is the oldest, and one that it has does not
// become older.
func firstSeen(txn *memdb.Txn, cmd *catalogpb.Command, now time.Time) *catalogpb.Command {
	body, ok := cmd.GetBody().(*catalogpb.Command_PutExports)
	if !ok {
		return cmd
	}
	copied := false
	for i, p := range body.PutExports.GetExports() {
		e, err := ExportFromProto(p)
		if err != nil || e.CreatedAt.IsZero() {
			continue // refused by Apply
		}
		created := earliestCreation(txn, e, now)
		if created.Equal(e.CreatedAt) {
			continue
		}
		if !copied {
			cmd, copied = proto.CloneOf(cmd), true
		}
		cmd.GetPutExports().GetExports()[i].CreatedAt = timeProto(created)
	}
	return cmd
}

// earliestCreation returns the creation time of e, or the earliest one that e may
// have, if that is later. A time in the future counts as soon.
func earliestCreation(txn *memdb.Txn, e Export, now time.Time) time.Time {
	soon := now.Add(MaxClockSkew)
	created := earliest(e.CreatedAt, soon)
	if have := export(txn, e.ExportKey); have != nil {
		return latest(created, have.CreatedAt)
	}
	for other := range each[Export](txn, tableExports, indexName, e.Namespace, e.Name) {
		created = latest(created, earliest(other.CreatedAt, soon).Add(1))
	}
	if e.Mirror {
		for _, key := range MirrorKeys(e.Namespace, e.MirrorName()) {
			if other := export(txn, key); other != nil && other.Mirror {
				created = latest(created, earliest(other.CreatedAt, soon).Add(1))
			}
		}
	}
	return created
}

func earliest(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

func invalidExport(field, message, remedy string) *Refusal {
	return &Refusal{Code: CodeExportInvalid, Field: field, Message: message, Remedy: remedy}
}

func checkExportKey(req request, k ExportKey) *Refusal {
	if r := req.checkOwner("datacenter", k.Datacenter); r != nil {
		return r
	}
	if r := checkName("namespace", k.Namespace); r != nil {
		return r
	}
	return checkName("name", k.Name)
}

func checkFamilies(families []IPFamily) *Refusal {
	for i, f := range families {
		if f != IPv4 && f != IPv6 || slices.Contains(families[:i], f) {
			return invalidExport(at("ip_families", i), fmt.Sprintf("IP family %q is unknown or repeated", shorten(string(f))),
				"use IPv4, IPv6 or both")
		}
	}
	return nil
}

// checkExportPorts applies the rules of Kubernetes for the ports of a Service.
func checkExportPorts(ports []ExportPort) *Refusal {
	if len(ports) > maxExportPorts {
		return &Refusal{
			Code: CodeTooLarge, Field: "ports", Message: fmt.Sprintf("%d ports are too many", len(ports)),
			Remedy: fmt.Sprintf("use at most %d", maxExportPorts),
		}
	}
	refuse := func(i int, message, remedy string) *Refusal {
		return &Refusal{Code: CodePortInvalid, Field: at("ports", i), Message: message, Remedy: remedy}
	}
	for i, p := range ports {
		switch {
		case p.Number == 0:
			return refuse(i, "port number 0 is not valid", "use 1 to 65535")
		case p.Protocol != "tcp" && p.Protocol != "udp" && p.Protocol != "sctp":
			return refuse(i, fmt.Sprintf("protocol %q is unknown", shorten(p.Protocol)), "use tcp, udp or sctp")
		case p.Name != "" && !isLabel(p.Name):
			return refuse(i, fmt.Sprintf("name %q is not a DNS label", shorten(p.Name)), "use a-z, 0-9 and '-'")
		case len(p.AppProtocol) > maxAppProtocolLength:
			return refuse(i, "the application protocol is too long", "use at most 317 bytes")
		}
		if slices.ContainsFunc(ports[:i], func(o ExportPort) bool { return o.Name == p.Name }) {
			return refuse(i, "the port name is repeated", "give each port a unique name")
		}
	}
	return nil
}

// deleteExports removes exports and their endpoint slices.
func (w *writer) deleteExports(req request, body *catalogpb.DeleteExports) (Result, *Refusal) {
	for i, p := range body.GetExports() {
		if r := req.checkOwner("datacenter", DatacenterName(p.GetDatacenter())); r != nil {
			return Result{}, r.in(at("exports", i))
		}
	}
	for _, p := range body.GetExports() {
		k := exportKeyFromProto(p)
		e := export(w.txn, k)
		if e == nil {
			continue
		}
		remove(w.txn, tableExports, e)
		removeAll(w.txn, tableEndpoints, indexID, string(k.Datacenter), k.Namespace, k.Name)
	}
	return Result{}, nil
}

// SplitExports puts exports into as few commands as MaxCommandSize allows, in
// order. An export that is too large by itself gets a command of its own, which
// Apply refuses.
func SplitExports(exports []Export) []*catalogpb.Command {
	return split(exports, func(e Export) int { return proto.Size(e.Proto()) }, NewPutExports)
}

// SplitEndpoints is SplitExports for endpoint slices.
func SplitEndpoints(slices []EndpointSlice) []*catalogpb.Command {
	return split(slices, func(s EndpointSlice) int { return proto.Size(s.Proto()) }, NewPutEndpoints)
}

func split[T any](records []T, size func(T) int, command func([]T) *catalogpb.Command) []*catalogpb.Command {
	const (
		envelope    = 1 << 10 // upper bound of author, client, time and so on
		fieldHeader = 4       // tag and length
	)
	var cmds []*catalogpb.Command
	start, total := 0, envelope
	for i, record := range records {
		n := size(record) + fieldHeader
		if total+n > MaxCommandSize && i > start {
			cmds = append(cmds, command(records[start:i]))
			start, total = i, envelope
		}
		total += n
	}
	if start < len(records) {
		cmds = append(cmds, command(records[start:]))
	}
	return cmds
}
