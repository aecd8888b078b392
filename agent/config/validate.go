package config

import (
	"cmp"
	"errors"
	"maps"
	"net/netip"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/allowlist"
)

// maxSocketPath is the maximum length of the path of a unix socket in bytes
// (unix(7)).
const maxSocketPath = 107

// validator turns a rawConfig into a Config and collects its faults.
type validator struct {
	file       string
	hostname   string
	remembered func(dataDir, byDefault string) string // Env.Remembered
	faults     *faults
}

// config validates all keys and fills in the defaults, which a test compares with
// those in reference.yaml.
func (v validator) config(raw rawConfig) Config {
	kubernetes := v.kubernetes(raw.Kubernetes)
	datacenter := v.datacenter(raw.Datacenter)
	dataDir := v.path("dataDir", raw.DataDir.or("/var/lib/meshway"))
	c := Config{
		Datacenter: datacenter,
		Gateway:    v.gateway(raw.Gateway, kubernetes, dataDir),
		Kubernetes: kubernetes,
		DataDir:    dataDir,
		Witness:    raw.Witness.on(),
		Prefixes:   v.prefixes(raw.Prefixes),
		Control: Control{
			Listen:    v.listen("control.listen", raw.Control.Listen.or("[::]:7443")),
			Advertise: v.endpoints("control.advertise", raw.Control.Advertise),
		},
		WireGuard: v.wireguard(raw.WireGuard),
		Routing:   v.routing(raw.Routing, datacenter),
		Liveness:  v.liveness(raw.Liveness),
		Raft: Raft{
			Timers:            v.oneOf("raft.timers", raw.Raft.Timers.or("auto"), "auto", "lan", "wan"),
			SnapshotThreshold: uint64(v.within("raft.snapshotThreshold", raw.Raft.SnapshotThreshold.or(16384), 64, 1<<24)), //nolint:gosec // not negative
			Store:             v.oneOf("raft.store", raw.Raft.Store.or("wal"), "wal", "bolt"),
		},
		Local: v.local(raw.rawLocal),
	}
	if file := raw.Join.TokenFile.or(""); file.value != "" {
		c.Join.TokenFile = v.path("join.tokenFile", file)
	}
	if c.Witness {
		v.witness(raw)
	} else {
		c.Services = v.services(raw.Services, c)
	}
	if len(v.faults.list) == 0 { // the rest would repeat them
		v.registrable(raw, c)
		v.distinctPorts(raw, c)
	}
	return c
}

func (v validator) local(raw rawLocal) Local {
	return Local{
		Admin:   Admin{Socket: v.socket("admin.socket", raw.Admin.Socket.or("/run/meshway/meshd.sock"))},
		Metrics: Metrics{Listen: v.listenOrOff("metrics.listen", raw.Metrics.Listen.or("127.0.0.1:9443"))},
		Catalog: v.catalog(raw.Catalog),
		Log: Log{
			Level:  v.oneOf("log.level", raw.Log.Level.or("info"), "debug", "info", "warn", "error"),
			Format: v.oneOf("log.format", raw.Log.Format.or("text"), "text", "json"),
		},
	}
}

// catalog validates the port for programs. Their tokens would pass a network in clear
// text.
func (v validator) catalog(raw rawCatalog) Catalog {
	var c Catalog
	if file := raw.Tokens.or(""); file.value != "" {
		c.Tokens = v.path("catalog.tokens", file)
	}
	listen := raw.Listen.or("off")
	c.Listen = v.listenOrOff("catalog.listen", listen)
	switch {
	case c.Listen.Port() == 0:
	case !c.Listen.Addr().Unmap().IsLoopback():
		v.faults.add(listen.at, "catalog.listen: %v is not an address of the loopback interface; use one, such as 127.0.0.1:8443", c.Listen)
	case c.Tokens == "":
		v.faults.add(listen.at, "catalog.listen: it needs catalog.tokens; write \"tokens: /etc/meshway/catalog-tokens\"")
	}
	return c
}

func (v validator) wireguard(raw rawWireGuard) WireGuard {
	const lastPort = 65535 - lanePorts + 1
	w := WireGuard{
		Dataplane: v.oneOf("wireguard.dataplane", raw.Dataplane.or("auto"), "auto", "kernel", "userspace"),
		Interface: v.interfacePrefix("wireguard.interface", raw.Interface.or("mesh")),
		Port:      uint16(v.within("wireguard.port", raw.Port.or(51820), 1, lastPort)), //nolint:gosec // within the range
		Advertise: v.endpoints("wireguard.advertise", raw.Advertise),
		Keepalive: v.between("wireguard.keepalive", raw.Keepalive.or(25*time.Second), 0, 65535*time.Second),
	}
	if raw.MTU != nil && raw.MTU.value != 0 {
		w.MTU = int(v.within("wireguard.mtu", *raw.MTU, 1280, 65455)) // 1280: IPv6 (RFC 8200 §5)
	}
	if w.Keepalive%time.Second != 0 {
		v.faults.add(raw.Keepalive.at, "wireguard.keepalive: %v is not a whole number of seconds; WireGuard supports no fractions", w.Keepalive)
	}
	return w
}

func (v validator) routing(raw rawRouting, own catalog.DatacenterName) Routing {
	table := raw.Table.or(7117)
	// The next number is used too (routes.NodesTable).
	if table.value >= 252 && table.value <= 255 {
		v.faults.add(table.at, "routing.table: %d is a table of the system; use another number, such as 7117", table.value)
	}
	return Routing{
		Table: int(v.within("routing.table", table, 1, 1<<31-2)),
		// The rule of table main has priority 32766, that of table local 0. The rules
		// of the table of nodes have this number minus 1.
		RulePriority: int(v.within("routing.rulePriority", raw.RulePriority.or(5400), 2, 32765)),
		Mark:         uint32(v.within("routing.mark", raw.Mark.or(0x20), 1, 1<<32-1)), //nolint:gosec // within the range
		Confine:      raw.Confine == nil || raw.Confine.value,
		Accept:       v.accept(raw.Accept, own),
		Yield:        v.ranges("routing.yield", raw.Yield),
	}
}

// accept validates the ranges that are taken from other datacenters.
func (v validator) accept(raw map[string][]*text, own catalog.DatacenterName) map[catalog.DatacenterName][]netip.Prefix {
	if len(raw) == 0 {
		return nil
	}
	out := make(map[catalog.DatacenterName][]netip.Prefix, len(raw))
	for _, name := range slices.Sorted(maps.Keys(raw)) {
		key, at := "routing.accept."+name, position{file: v.file}
		if list := raw[name]; len(list) > 0 {
			at = list[0].at
		}
		v.name(key, text{value: name, at: at})
		if name == string(own) {
			v.faults.add(at, "%s: it is this datacenter; name another one", key)
		}
		out[catalog.DatacenterName(name)] = v.ranges(key, raw[name])
	}
	return out
}

// ranges validates a list of prefixes and sorts it.
func (v validator) ranges(key string, list []*text) []netip.Prefix {
	var out []netip.Prefix
	for _, t := range list {
		if p, ok := v.cidr(key, *t, catalog.NodePrefix); ok {
			out = append(out, p)
		}
	}
	slices.SortFunc(out, netip.Prefix.Compare)
	return slices.Compact(out)
}

func (v validator) liveness(raw rawLiveness) Liveness {
	return Liveness{
		Interval:   v.between("liveness.interval", raw.Interval.or(100*time.Millisecond), 50*time.Millisecond, 10*time.Second),
		Multiplier: int(v.within("liveness.multiplier", raw.Multiplier.or(4), 2, 50)),
		Port:       uint16(v.within("liveness.port", raw.Port.or(3784), 1, 65535)), //nolint:gosec // within the range
	}
}

func (v validator) datacenter(t *text) catalog.DatacenterName {
	name := t.or("")
	if name.value == "" {
		at := name.at
		if t == nil {
			at = position{file: v.file}
		}
		v.faults.add(at, "datacenter: the name is required; write \"datacenter: NAME\", or use --datacenter NAME")
		return ""
	}
	v.name("datacenter", name)
	return catalog.DatacenterName(name.value)
}

// gateway returns the configured name, the one that a member has, or one derived from
// the name of the host or of the node.
func (v validator) gateway(t *text, k Kubernetes, dataDir string) string {
	first, _, _ := strings.Cut(strings.ToLower(v.hostname), ".")
	switch {
	case k.Enabled:
		first = GatewayOfNode(k.NodeName)
	case v.remembered != nil && (t == nil || t.value == ""):
		first = cmp.Or(v.remembered(dataDir, first), first)
	}
	name := t.or(first)
	if (t == nil || t.value == "") && catalog.ValidateName(first) != nil {
		v.faults.add(position{file: v.file}, "gateway: the host name %q is not a valid name; write \"gateway: NAME\", or use --gateway NAME", cmp.Or(k.NodeName, v.hostname))
		return ""
	}
	v.name("gateway", name)
	return name.value
}

func (v validator) name(key string, t text) {
	if err := catalog.ValidateName(t.value); err != nil {
		v.faults.add(t.at, "%s: %s", key, refusal(err))
	}
}

// refusal returns the text of a refusal of the catalog without its field, since
// messages begin with the key of the file.
func refusal(err error) string {
	var r *catalog.Refusal
	if errors.As(err, &r) {
		return (&catalog.Refusal{Message: r.Message, Remedy: r.Remedy}).Error()
	}
	return err.Error()
}

// prefixes validates the prefixes of all kinds and sorts them.
func (v validator) prefixes(raw rawPrefixes) []catalog.Prefix {
	var out []catalog.Prefix
	first := map[netip.Prefix]string{}
	for _, kind := range []struct {
		key  string
		kind catalog.PrefixKind
		list []*text
	}{
		{"prefixes.pods", catalog.PodPrefix, raw.Pods},
		{"prefixes.services", catalog.ServicePrefix, raw.Services},
		{"prefixes.nodes", catalog.NodePrefix, raw.Nodes},
	} {
		for _, t := range kind.list {
			cidr, ok := v.announced(kind.key, *t, kind.kind)
			if !ok {
				continue
			}
			if where, twice := first[cidr]; twice {
				v.faults.add(t.at, "%s: %v is already in %s; list each prefix once", kind.key, cidr, where)
				continue
			}
			if kind.kind == catalog.ServicePrefix {
				v.apart(kind.key, *t, cidr, "prefixes.pods", cidrsOf(out, catalog.PodPrefix))
			}
			first[cidr] = kind.key
			out = append(out, catalog.Prefix{CIDR: cidr, Kind: kind.kind})
		}
	}
	slices.SortFunc(out, func(a, b catalog.Prefix) int { return a.CIDR.Compare(b.CIDR) })
	return out
}

// apart validates that a prefix of services has no address in common with those of
// pods: to which of both a packet goes would be left to chance.
func (v validator) apart(key string, t text, services netip.Prefix, podKey string, pods []netip.Prefix) {
	if i := slices.IndexFunc(pods, services.Overlaps); i >= 0 {
		v.faults.add(t.at, "%s: %v overlaps %v in %s; pods and services have no address in common, so write the ranges that they have",
			key, services, pods[i], podKey)
	}
}

// cidrsOf returns the prefixes of a kind.
func cidrsOf(prefixes []catalog.Prefix, kind catalog.PrefixKind) []netip.Prefix {
	var out []netip.Prefix
	for _, p := range prefixes {
		if p.Kind == kind {
			out = append(out, p.CIDR)
		}
	}
	return out
}

// announced validates a prefix that this datacenter announces to others.
func (v validator) announced(key string, t text, kind catalog.PrefixKind) (netip.Prefix, bool) {
	cidr, ok := v.cidr(key, t, kind)
	if !ok {
		return cidr, false
	}
	if r := allowlist.CheckLength(cidr); r != nil {
		v.faults.add(t.at, "%s: %s", key, refusal(r))
		return cidr, false
	}
	return cidr, true
}

// cidr validates one prefix.
func (v validator) cidr(key string, t text, kind catalog.PrefixKind) (netip.Prefix, bool) {
	cidr, err := netip.ParsePrefix(t.value)
	if err != nil {
		v.faults.add(t.at, "%s: %q is not a prefix; write address/length, such as 10.1.0.0/16", key, t.value)
		return cidr, false
	}
	if err := catalog.ValidatePrefixes([]catalog.Prefix{{CIDR: cidr, Kind: kind}}); err != nil {
		v.faults.add(t.at, "%s: %s", key, refusal(err))
		return cidr, false
	}
	return cidr, true
}

// path validates an absolute path. A relative one would depend on the working
// directory of the agent.
func (v validator) path(key string, t text) string {
	if !path.IsAbs(t.value) {
		v.faults.add(t.at, "%s: %q is not an absolute path; begin it with /", key, t.value)
	}
	return path.Clean(t.value)
}

func (v validator) socket(key string, t text) string {
	if len(t.value) > maxSocketPath {
		v.faults.add(t.at, "%s: it is longer than %d bytes, the limit of unix sockets", key, maxSocketPath)
	}
	return v.path(key, t)
}
