package status

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/meshway/meshway/agent/plan"
)

// Names of the metrics. Label values are limited to gateways, datacenters and
// the like, so that their number depends on the federation and not on its traffic.
const (
	metricBuildInfo     = "meshway_build_info"
	metricState         = "meshway_state"
	metricStart         = "meshway_start_time_seconds"
	metricLastPass      = "meshway_last_pass_timestamp_seconds"
	metricCertificate   = "meshway_certificate_expiry_timestamp_seconds"
	metricReachable     = "meshway_datacenter_reachable"
	metricWitness       = "meshway_datacenter_witness"
	metricServices      = "meshway_datacenter_services"
	metricPeerUp        = "meshway_peer_up"
	metricPeerRTT       = "meshway_peer_rtt_seconds"
	metricPeerLoss      = "meshway_peer_loss_ratio"
	metricPeerPathMTU   = "meshway_peer_path_mtu_bytes"
	metricPeerPacket    = "meshway_peer_last_packet_timestamp_seconds"
	metricPeerHandshake = "meshway_peer_last_handshake_timestamp_seconds"
	metricPeerReceived  = "meshway_peer_receive_bytes_total"
	metricPeerSent      = "meshway_peer_transmit_bytes_total"
	metricTunnelUp      = "meshway_tunnel_up"
	metricIsLeader      = "meshway_catalog_is_leader"
	metricHasLeader     = "meshway_catalog_has_leader"
	metricTerm          = "meshway_catalog_term"
	metricAppliedIndex  = "meshway_catalog_applied_index"
	metricCommitIndex   = "meshway_catalog_commit_index"
	metricLastContact   = "meshway_catalog_last_contact_seconds"
	metricVoters        = "meshway_catalog_voters"
	metricHealthyVoters = "meshway_catalog_healthy_voters"
	metricRefused       = "meshway_catalog_refused_commands_total"
	metricRoutes        = "meshway_dataplane_routes"
	metricForeignRoutes = "meshway_dataplane_foreign_routes"
	metricRepaired      = "meshway_dataplane_repaired_total"
	metricDropped       = "meshway_firewall_dropped_packets_total"
	metricLastApply     = "meshway_dataplane_last_apply_timestamp_seconds"
	metricApplyErrors   = "meshway_dataplane_apply_errors"
	metricQueuePending  = "meshway_queue_pending"
	metricProblems      = "meshway_problems"
	metricMCSWriter     = "meshway_services_is_writer"
	metricMCSExports    = "meshway_services_exports"
	metricMCSImports    = "meshway_services_imports"
	metricMCSSlices     = "meshway_services_endpoint_slices"
	metricMCSErrors     = "meshway_services_write_errors_total"
)

// Names of the labels.
const (
	labelDatacenter = "datacenter"
	labelGateway    = "gateway"
	labelTunnel     = "interface"
	labelState      = "state"
	labelCode       = "code"
	labelAuthor     = "author"
	labelSeverity   = "severity"
	labelVersion    = "version"
	labelReason     = "reason"
)

// Short names for the table below.
const (
	counter = prometheus.CounterValue
	gauge   = prometheus.GaugeValue
)

// definition describes one metric.
type definition struct {
	name   string
	kind   prometheus.ValueType
	help   string
	labels []string
}

// definitions returns all metrics of Meshway.
func definitions() []definition {
	peer, dc := []string{labelDatacenter, labelGateway}, []string{labelDatacenter}
	return []definition{
		{metricBuildInfo, gauge, "Always 1; the label is the version of meshd.", []string{labelVersion}},
		{metricState, gauge, "1 for the state that this gateway is in.", []string{labelState}},
		{metricStart, gauge, "When meshd started, Unix time.", nil},
		{metricLastPass, gauge, "When the agent made its last pass, Unix time.", nil},
		{metricCertificate, gauge, "When this gateway's certificate expires, Unix time.", nil},
		{metricReachable, gauge, "1 while a tunnel to the other datacenter works.", dc},
		{metricWitness, gauge, "1 for a datacenter that only votes in the catalog.", dc},
		{metricServices, gauge, "Registered service instances.", dc},
		{metricPeerUp, gauge, "1 while the tunnel to the gateway works.", peer},
		{metricPeerRTT, gauge, "Round trip through the tunnel.", peer},
		{metricPeerLoss, gauge, "Share of the last liveness packets that were lost, 0 to 1.", peer},
		{metricPeerPathMTU, gauge, "Size of the largest packet that reaches the gateway through the tunnel and returns.", peer},
		{metricPeerPacket, gauge, "When an authenticated packet last came from the gateway, Unix time.", peer},
		{metricPeerHandshake, gauge, "When the last WireGuard handshake was, Unix time.", peer},
		{metricPeerReceived, counter, "Bytes that came out of the tunnel from the gateway.", peer},
		{metricPeerSent, counter, "Bytes that went into the tunnel to the gateway.", peer},
		{metricTunnelUp, gauge, "1 while the WireGuard interface is up.", []string{labelTunnel}},
		{metricIsLeader, gauge, "1 while this gateway leads the catalog.", nil},
		{metricHasLeader, gauge, "1 while the catalog's leader is known here.", nil},
		{metricTerm, gauge, "Raft term.", nil},
		{metricAppliedIndex, gauge, "Raft index of the local copy of the catalog.", nil},
		{metricCommitIndex, gauge, "Raft index known to be committed.", nil},
		{metricLastContact, gauge, "Time since the last message of the leader; 0 on the leader.", nil},
		{metricVoters, gauge, "Voters of the catalog.", nil},
		{metricHealthyVoters, gauge, "Voters that this gateway considers healthy; most accurate on the leader.", nil},
		{metricRefused, counter, "Commands that this gateway refused as the leader of the catalog.", []string{labelAuthor, labelCode}},
		{metricRoutes, gauge, "Routes of Meshway in the kernel.", nil},
		{metricForeignRoutes, gauge, "Routes of other programs in Meshway's table.", nil},
		{metricRepaired, counter, "Kernel entries restored after another program changed or deleted them.", nil},
		{metricDropped, counter, "Packets that the firewall dropped: with a spoofed source, from a tunnel to what is not announced, or to another datacenter outside of the tunnels.", []string{labelReason}},
		{metricLastApply, gauge, "When everything was last applied without error, Unix time.", nil},
		{metricApplyErrors, gauge, "Errors in the last pass.", nil},
		{metricQueuePending, gauge, "Writes that are queued for the catalog.", nil},
		{metricProblems, gauge, "Problems that meshctl status shows.", []string{labelCode, labelSeverity}},
		{metricMCSWriter, gauge, "1 while this gateway holds the Lease and writes the multi-cluster services of its cluster.", nil},
		{metricMCSExports, gauge, "ServiceExports of the cluster.", nil},
		{metricMCSImports, gauge, "ServiceImports that Meshway wrote.", nil},
		{metricMCSSlices, gauge, "EndpointSlices that Meshway wrote.", nil},
		{metricMCSErrors, counter, "Failed tries to write a multi-cluster service.", nil},
	}
}

// Collector renders the newest snapshot as metrics.
type Collector struct {
	snapshot func() Snapshot
	metrics  map[string]metric
}

type metric struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
}

// NewCollector returns a collector that calls snapshot at each scrape.
func NewCollector(snapshot func() Snapshot) *Collector {
	c := &Collector{snapshot: snapshot, metrics: map[string]metric{}}
	for _, d := range definitions() {
		c.metrics[d.name] = metric{desc: prometheus.NewDesc(d.name, d.help, d.labels, nil), kind: d.kind}
	}
	return c
}

// Describe implements prometheus.Collector.
func (c *Collector) Describe(out chan<- *prometheus.Desc) {
	for _, m := range c.metrics {
		out <- m.desc
	}
}

// Collect implements prometheus.Collector.
func (c *Collector) Collect(out chan<- prometheus.Metric) {
	render(c.snapshot(), func(name string, value float64, labels ...string) {
		m := c.metrics[name]
		made, err := prometheus.NewConstMetric(m.desc, m.kind, value, labels...)
		if err != nil {
			made = prometheus.NewInvalidMetric(m.desc, err)
		}
		out <- made
	})
}

// emit records one value of a metric.
type emit func(name string, value float64, labels ...string)

// render converts the snapshot to metrics. Values that are not known are left
// out, because a zero would look like a measurement.
func render(s Snapshot, out emit) {
	out(metricBuildInfo, 1, s.Version)
	for _, state := range []State{Standalone, Joining, Member, Leaving} {
		out(metricState, boolean(s.State == state), string(state))
	}
	out.time(metricStart, s.Self.StartedAt)
	out.time(metricLastPass, s.At)
	if s.Self.Certificate != nil {
		out.time(metricCertificate, s.Self.Certificate.NotAfter)
	}
	for _, dc := range s.Datacenters {
		renderDatacenter(dc, out)
	}
	for _, t := range s.Tunnels {
		out(metricTunnelUp, boolean(t.Up), t.Name)
	}
	if s.Federation != nil {
		renderCatalog(s.Catalog, out)
	}
	out(metricRoutes, float64(s.Dataplane.Routes))
	out(metricForeignRoutes, float64(s.Dataplane.ForeignRoutes))
	out(metricRepaired, float64(s.Dataplane.Repaired))
	for reason, packets := range s.Dataplane.Dropped {
		out(metricDropped, float64(packets), reason)
	}
	out.time(metricLastApply, s.Dataplane.LastApply)
	out(metricApplyErrors, float64(len(s.Dataplane.Errors)))
	out(metricQueuePending, float64(s.Queue.Pending))
	renderProblems(s.Problems, out)
	if m := s.MultiCluster; m != nil {
		out(metricMCSWriter, boolean(m.Writer))
		out(metricMCSExports, float64(m.Exports))
		out(metricMCSImports, float64(m.Imports))
		out(metricMCSSlices, float64(m.EndpointSlices))
		out(metricMCSErrors, float64(m.WriteErrors))
	}
}

// renderDatacenter leaves out reachability for the own datacenter: there is no tunnel to it.
func renderDatacenter(dc Datacenter, out emit) {
	out(metricServices, float64(dc.Services), dc.Name)
	out(metricWitness, boolean(dc.Witness), dc.Name)
	if dc.Self {
		return
	}
	out(metricReachable, boolean(dc.Reachable), dc.Name)
	for _, g := range dc.Gateways {
		labels := []string{dc.Name, g.Name}
		out(metricPeerUp, boolean(g.Up), labels...)
		out(metricPeerLoss, g.Loss, labels...)
		out(metricPeerReceived, float64(g.ReceivedBytes), labels...)
		out(metricPeerSent, float64(g.SentBytes), labels...)
		if g.RTT > 0 {
			out(metricPeerRTT, g.RTT.Seconds(), labels...)
		}
		if g.PathMTU > 0 {
			out(metricPeerPathMTU, float64(g.PathMTU), labels...)
		}
		out.time(metricPeerPacket, g.LastPacket, labels...)
		out.time(metricPeerHandshake, g.LastHandshake, labels...)
	}
}

func renderCatalog(c Catalog, out emit) {
	out(metricIsLeader, boolean(c.Role == "leader"))
	out(metricHasLeader, boolean(c.Leader != ""))
	out(metricTerm, float64(c.Term))
	out(metricAppliedIndex, float64(c.AppliedIndex))
	out(metricCommitIndex, float64(c.CommitIndex))
	out(metricLastContact, c.LastContact.Seconds())
	out(metricVoters, float64(c.Voters))
	out(metricHealthyVoters, float64(c.HealthyVoters))
	for _, r := range c.Refused {
		out(metricRefused, float64(r.Count), r.Author, r.Code)
	}
}

// renderProblems counts by code; the number of subjects has no bound.
func renderProblems(list []plan.Problem, out emit) {
	type kind struct{ code, severity string }
	count := map[kind]int{}
	for _, p := range list {
		count[kind{p.Code, string(p.Severity)}]++
	}
	for k, n := range count {
		out(metricProblems, float64(n), k.code, k.severity)
	}
}

// time emits t as Unix time in seconds, unless t is zero.
func (out emit) time(name string, t time.Time, labels ...string) {
	if !t.IsZero() {
		out(name, float64(t.UnixMilli())/1000, labels...)
	}
}

func boolean(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
