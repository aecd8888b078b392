package main

import (
	"net/netip"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/meshway/meshway/agent/control/controlpb"
	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/agent/status"
	"github.com/meshway/meshway/consensus/catalog/catalogpb"
)

const (
	federationID = "6f1c2b0e-2a53-4a57-9b0c-6a1f4f6f0c11"
	secretToken  = "mesh1-7kq2m4-do-not-show-this"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func before(d time.Duration) time.Time { return noon.Add(-d) }

// healthy is a federation of three datacenters, observed by east.
func healthy() status.Snapshot {
	return status.Snapshot{
		At: noon, Version: "v0.1.0", State: status.Member,
		Self: status.Self{
			Datacenter: "east", Gateway: "gw1", ID: "east/gw1", Overlay: "fd5e:1f0c:77aa::1",
			StartedAt: before(3 * time.Hour), Certificate: &status.Certificate{NotAfter: noon.Add(21 * time.Hour)},
		},
		Federation: &status.Federation{ID: federationID, Name: "prod", Overlay: "fd5e:1f0c:77aa::/48", FeatureLevel: 3},
		Catalog: status.Catalog{
			Synced: true, Role: "follower", Leader: "west/gw1", Term: 4, AppliedIndex: 1207, CommitIndex: 1207,
			LastContact: 180 * time.Millisecond, Voters: 3, HealthyVoters: 3, Timers: "wan",
		},
		Datacenters: []status.Datacenter{
			datacenter("east", "10.1.0.0/16", status.Gateway{Overlay: "fd5e:1f0c:77aa::1", Role: "voter"}),
			datacenter("north", "10.3.0.0/16", status.Gateway{
				Overlay: "fd5e:1f0c:77aa:2::1", Role: "voter", Up: true, ReceivedBytes: 7 << 20, SentBytes: 3 << 30,
				TunnelState: status.TunnelState{
					LastPacket: before(210 * time.Millisecond), LastHandshake: before(74 * time.Second),
					RTT: 12400 * time.Microsecond, PathMTU: 1420, Endpoint: "192.0.2.130:51820",
				},
			}),
			datacenter("west", "10.2.0.0/16", status.Gateway{
				Overlay: "fd5e:1f0c:77aa:1::1", Role: "voter", Leader: true, Up: true, ReceivedBytes: 900, SentBytes: 1100,
				TunnelState: status.TunnelState{
					LastPacket: before(90 * time.Millisecond), LastHandshake: before(11 * time.Second),
					RTT: 3100 * time.Microsecond, Endpoint: "[2001:db8:17::5]:51820",
				},
			}),
		},
		Tunnels:   []status.Tunnel{{Name: "mesh0", Dataplane: "userspace", Port: 51820, MTU: 1420, Up: true, Peers: 2}},
		Dataplane: status.Dataplane{Routes: 8, LastApply: before(2 * time.Second)},
		Problems:  []plan.Problem{},
	}
}

// withWitness is healthy with a witness instead of north, observed by the witness.
func withWitness() status.Snapshot {
	s := healthy()
	north := &s.Datacenters[1]
	north.Witness, north.Prefixes, north.Services = true, []status.Prefix{}, 0
	s.Self.Witness, s.Self.Datacenter, s.Self.ID = true, "north", "north/gw1"
	return s
}

func datacenter(name, pods string, g status.Gateway) status.Datacenter {
	g.ID, g.Name, g.Version = name+"/gw1", "gw1", "v0.1.0"
	g.Endpoints, g.Controls = []string{name + ".example:51820"}, []string{name + ".example:7443"}
	return status.Datacenter{
		Name: name, Self: name == "east", Reachable: g.Up, JoinedAt: before(49 * time.Hour), Services: 2,
		Prefixes: []status.Prefix{{CIDR: netip.MustParsePrefix(pods), Kind: "pod"}},
		Gateways: []status.Gateway{g},
	}
}

// withProblems is healthy with west lost and the catalog without a leader.
func withProblems() status.Snapshot {
	s := healthy()
	s.Federation.FeatureLevel = 2
	s.Federation.HeldBack = &status.HeldBack{FeatureLevel: 3, Gateways: []string{"north/gw1", "west/gw1"}}
	s.Catalog.Role, s.Catalog.Leader, s.Catalog.HealthyVoters, s.Catalog.CommitIndex = "candidate", "", 1, 1210
	west := &s.Datacenters[2]
	west.Reachable = false
	west.Gateways[0].Up, west.Gateways[0].Leader = false, false
	west.Gateways[0].LastPacket, west.Gateways[0].LastHandshake = before(3*time.Minute), before(4*time.Minute)
	s.Datacenters[1].Gateways[0].PathMTU = 1340
	west.Gateways[0].Loss, west.Gateways[0].RTT = 1, 0
	s.Datacenters[1].Gateways[0].Loss = 0.05
	s.Queue = status.Queue{Pending: 2, Since: before(40 * time.Second)}
	s.Dataplane.Repaired, s.Dataplane.ForeignRoutes = 3, 1
	s.Problems = []plan.Problem{
		{
			Code: "endpoint-roamed", Severity: plan.Warning, Subject: "gateway north/gw1",
			Message: "gateway north/gw1 sends from 192.0.2.130:51820, which it does not advertise",
			Remedy:  "add that endpoint to wireguard.advertise on north/gw1",
		},
		{
			Code: "unreachable", Severity: plan.Error, Subject: "datacenter west",
			Message: "datacenter west has sent no packet through a tunnel for 3 min",
			Remedy:  "check that UDP 51820 is open between 192.0.2.1 and [2001:db8:17::5], and that meshd runs on west/gw1",
		},
	}
	return s
}

// failingDataplane is healthy with an error of the data plane instead of a problem.
func failingDataplane() status.Snapshot {
	s := healthy()
	s.Dataplane.Errors = []string{"apply firewall: nft: not found"}
	return s
}

func standalone() status.Snapshot {
	return status.Snapshot{
		At: noon, Version: "v0.1.0", State: status.Standalone,
		Self:        status.Self{Datacenter: "east", Gateway: "gw1", ID: "east/gw1", StartedAt: before(5 * time.Second)},
		Datacenters: []status.Datacenter{}, Tunnels: []status.Tunnel{}, Problems: []plan.Problem{},
	}
}

func routesReport() status.RoutesReport {
	via := []status.Via{{Gateway: "west/gw1", Device: "mesh0", Up: true}}
	return status.RoutesReport{
		Datacenter: "east", Table: 7117,
		Rules: []status.Rule{
			{Family: 4, Priority: 5400, Selector: "not fwmark 0x20/0x20", State: "installed"},
			{Family: 6, Priority: 5400, Selector: "not fwmark 0x20/0x20", State: "missing"},
		},
		Routes: []status.Route{
			{Prefix: netip.MustParsePrefix("10.2.0.0/16"), Kind: "pod", Datacenter: "west", Protocol: 157, Via: via, State: "installed", Source: "10.1.0.1"},
			{Prefix: netip.MustParsePrefix("10.3.0.0/16"), Kind: "pod", Datacenter: "north", Protocol: 157, State: "blackhole"},
			{Prefix: netip.MustParsePrefix("10.98.0.0/16"), Protocol: 4, Via: []status.Via{{Device: "eth1", Up: true}}, State: "foreign"},
			{Prefix: netip.MustParsePrefix("fd5e:1f0c:77aa:1::1/128"), Kind: "overlay", Datacenter: "west", Protocol: 157, Via: []status.Via{{Gateway: "west/gw1", Device: "mesh0"}}, State: "installed"},
		},
		Destination: &status.Destination{
			Address: netip.MustParseAddr("10.2.0.17"), Table: 7117, Prefix: netip.MustParsePrefix("10.2.0.0/16"),
			Device: "mesh0", Source: "10.1.0.1", Verdict: "10.2.0.17 is a pod address of west: packets to it go through mesh0 to west/gw1",
		},
	}
}

func exports() []*controlpb.ExportedService {
	return []*controlpb.ExportedService{{
		Export: &catalogpb.Export{
			Datacenter: "west", Namespace: "shop", Name: "cart", Type: "ClusterSetIP", ModifiedIndex: 1201,
			Ports: []*catalogpb.ExportPort{{Name: "http", Protocol: "tcp", Number: 80}},
		},
		Endpoints: 3, Ready: 2,
	}}
}

func services() []*catalogpb.Service {
	return []*catalogpb.Service{
		{
			Datacenter: "east", Namespace: "default", Name: "web", Instance: "a", Owner: "east/gw1", Address: "10.1.0.5",
			Ports:  []*catalogpb.Port{{Name: "http", Protocol: "tcp", Number: 80}, {Protocol: "udp", Number: 443}},
			Labels: map[string]string{"version": "2", "app": "web"}, ModifiedIndex: 1190,
		},
		{Datacenter: "west", Namespace: "infra", Name: "dns", Owner: "west/gw1", Address: "2001:db8::53", Ports: []*catalogpb.Port{{Protocol: "udp", Number: 53}}, Labels: map[string]string{"note": "a<b&c"}, ModifiedIndex: 7},
	}
}

func tokens() []*catalogpb.Token {
	created := timestamppb.New(before(30 * time.Minute))
	return []*catalogpb.Token{
		{Id: "7kq2m4", Datacenter: "west", CreatedBy: "east/gw1", CreatedAt: created, ExpiresAt: timestamppb.New(noon.Add(30 * time.Minute))},
		{Id: "9xw0aa", CreatedBy: "east/gw1", CreatedAt: created, ExpiresAt: timestamppb.New(before(time.Minute))},
		{Id: "b2ce51", CreatedBy: "west/gw1", CreatedAt: created, ExpiresAt: timestamppb.New(noon.Add(time.Hour)), UsedBy: "north", UsedAt: timestamppb.New(before(10 * time.Minute))},
		{Id: "c90d1f", CreatedBy: "west/gw1", CreatedAt: created, ExpiresAt: timestamppb.New(noon.Add(time.Hour)), Revoked: true},
	}
}

func peers() []*controlpb.RaftPeer {
	return []*controlpb.RaftPeer{
		{Id: "east/gw1", Address: "[fd5e:1f0c:77aa::1]:7443", Suffrage: "voter", Leader: true, Healthy: true, LastContact: durationpb.New(0), LastIndex: 1207},
		{Id: "north/gw1", Address: "[fd5e:1f0c:77aa:2::1]:7443", Suffrage: "voter", LastContact: durationpb.New(3 * time.Minute), LastIndex: 1190},
		{Id: "west/gw2", Address: "[fd5e:1f0c:77aa:1::2]:7443", Suffrage: "nonvoter", Healthy: true},
	}
}

// withWarning is healthy with a problem of severity warning.
func withWarning() status.Snapshot {
	s := healthy()
	s.Problems = withProblems().Problems[:1]
	return s
}

// onNode is a node of east.
func onNode() status.Snapshot {
	return status.Snapshot{
		At: noon, Version: "v0.1.0", State: status.Node,
		Self:        status.Self{Datacenter: "east", Gateway: "node2", ID: "east/node2", StartedAt: before(3 * time.Hour)},
		Datacenters: []status.Datacenter{{Name: "west"}},
		Paths: []status.Path{
			{Gateway: "east/gw1", Device: "eth0", Answers: true, RTT: 310 * time.Microsecond},
			{Gateway: "east/gw2", Device: "mesh1", Tunnel: true},
		},
		Tunnels:   []status.Tunnel{{Name: "mesh1", Dataplane: "kernel", Port: 51821, MTU: 1420, Up: true, Peers: 1}},
		Dataplane: status.Dataplane{Routes: 8, LastApply: before(2 * time.Second)},
	}
}
