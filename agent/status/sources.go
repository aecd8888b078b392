package status

import (
	"cmp"
	"net/netip"
	"slices"
	"time"

	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/consensus"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/routes"
	"github.com/meshway/meshway/tunnel"
)

// Sources is everything that Build needs for a snapshot.
type Sources struct {
	At           time.Time // start of the last pass; Health compares it with the current time
	StartedAt    time.Time // of the agent
	Version      string    // of meshd
	State        State
	PublicKey    tunnel.PublicKey
	Certificate  time.Time // expiry of this gateway's certificate; zero: there is none
	Inputs       plan.Inputs
	Desired      plan.Desired
	Problems     []plan.Problem // of the plan and of all other sources
	Paths        []plan.Path    // of a node that is no gateway
	Services     map[catalog.DatacenterName]int
	Consensus    consensus.Status // empty Role: it does not run
	Queue        Queue
	MultiCluster *MultiCluster // nil: there is no cluster, or its services are not read yet
	Applied
}

// Applied is what the appliers returned in the last pass.
type Applied struct {
	Tunnels   []tunnel.Observed
	Routes    routes.Observed
	Dropped   []routes.Counter // by the firewall
	LastApply time.Time        // of the last pass that applied everything without error; zero: none yet
	Errors    []string
}

// Build returns the snapshot. It is pure. All lists are sorted and none is nil,
// so that equal sources give equal JSON, with [] for empty lists.
func Build(s Sources) Snapshot {
	return Snapshot{
		At:          s.At,
		Version:     s.Version,
		State:       s.State,
		Self:        s.self(),
		Federation:  s.federation(),
		Catalog:     s.catalog(),
		Datacenters: s.datacenters(),
		Paths:       s.paths(),
		Tunnels:     s.tunnels(),
		Dataplane: Dataplane{
			Routes:        countCarrying(s.Routes.Routes),
			ForeignRoutes: len(s.Routes.Foreign),
			Repaired:      s.Routes.Repaired,
			Dropped:       s.dropped(),
			LastApply:     s.LastApply,
			Errors:        slices.Clone(s.Errors),
		},
		Queue:        s.Queue,
		MultiCluster: s.MultiCluster,
		Problems:     s.problems(),
	}
}

func (s Sources) self() Self {
	id := s.Inputs.Self
	self := Self{
		Datacenter: string(id.Datacenter()), Gateway: id.Name(), ID: string(id),
		StartedAt: s.StartedAt, Draining: s.Inputs.Drain != plan.Active,
		Witness: s.Inputs.Config.Witness,
	}
	for _, g := range s.Inputs.Catalog.Gateways {
		if g.ID() == s.Inputs.Self {
			self.Overlay = address(g.Overlay)
		}
	}
	if !s.PublicKey.IsZero() {
		self.PublicKey = s.PublicKey.String()
	}
	if !s.Certificate.IsZero() {
		self.Certificate = &Certificate{NotAfter: s.Certificate}
	}
	return self
}

func (s Sources) federation() *Federation {
	f := s.Inputs.Catalog.Federation
	if f.ID == "" {
		return nil
	}
	levels := catalog.LevelsOf(s.Inputs.Catalog.Gateways)
	out := &Federation{ID: f.ID, Name: f.Name, Overlay: f.Overlay.String(), FeatureLevel: levels.Common}
	if len(levels.Behind) > 0 {
		out.HeldBack = &HeldBack{FeatureLevel: levels.Newest}
		for _, id := range levels.Behind {
			out.HeldBack.Gateways = append(out.HeldBack.Gateways, string(id))
		}
	}
	return out
}

func (s Sources) catalog() Catalog {
	c := Catalog{
		Synced:       s.Inputs.Synced.Catalog,
		Role:         s.Consensus.Role,
		Leader:       string(s.Consensus.Leader),
		Term:         s.Consensus.Term,
		AppliedIndex: s.Consensus.AppliedIndex,
		CommitIndex:  s.Consensus.CommitIndex,
		LastContact:  s.Consensus.LastContact,
		Timers:       s.Consensus.Timers,
	}
	for _, r := range s.Consensus.RefusedCommands {
		c.Refused = append(c.Refused, RefusedCommands{Author: string(r.Author), Code: r.Code, Count: r.Count})
	}
	for _, p := range s.Consensus.Peers {
		if p.Voter {
			c.Voters++
			if p.Healthy {
				c.HealthyVoters++
			}
		}
	}
	return c
}

// datacenters returns the members, by name, with their gateways by index.
func (s Sources) datacenters() []Datacenter {
	out, seen := []Datacenter{}, s.newSeen()
	for _, reach := range plan.Reach(s.Inputs) {
		dc := Datacenter{
			Name:      string(reach.Name),
			Self:      reach.Self,
			Ordinal:   reach.Ordinal,
			Prefixes:  []Prefix{},
			Gateways:  []Gateway{},
			Reachable: reach.Reachable,
			Witness:   reach.Witness(),
			JoinedAt:  reach.JoinedAt,
			Services:  s.Services[reach.Name],
		}
		for _, p := range reach.Prefixes {
			dc.Prefixes = append(dc.Prefixes, Prefix{CIDR: p.CIDR, Kind: string(p.Kind)})
		}
		for _, g := range reach.Gateways {
			dc.Gateways = append(dc.Gateways, s.gateway(g, dc.Self, seen))
		}
		out = append(out, dc)
	}
	return out
}

// gateway combines what is observed of one gateway with the data plane and
// consensus. There is no tunnel between siblings; a sibling is up if consensus
// has a recent message of it.
func (s Sources) gateway(reach plan.GatewayReachability, sibling bool, seen seen) Gateway {
	session := reach.Session
	g := Gateway{
		ID:        string(reach.ID()),
		Name:      reach.Name,
		Index:     reach.Index,
		Overlay:   address(reach.Overlay),
		Version:   reach.Version,
		Endpoints: append([]string{}, reach.Endpoints...),
		Controls:  append([]string{}, reach.Controls...),
		Leader:    reach.ID() == s.Consensus.Leader,
		Up:        session.Up,
		Draining:  reach.Draining,
		TunnelState: TunnelState{
			Since:      session.Since,
			LastPacket: session.LastPacket,
			RTT:        session.RTT,
			Loss:       session.Loss,
			PathMTU:    s.Inputs.Observed.PathMTUs[reach.ID()],
		},
	}
	if p, ok := seen.members[reach.ID()]; ok {
		g.Role = "nonvoter"
		if p.Voter {
			g.Role = "voter"
		}
		g.Up = g.Up || sibling && p.Healthy
	}
	if reach.ID() == s.Inputs.Self {
		g.Up = true
		return g
	}
	for _, p := range seen.peers[tunnel.PublicKey(reach.PublicKey)] {
		g.LastHandshake, g.ReceivedBytes, g.SentBytes = p.LastHandshake, p.ReceivedBytes, p.TransmittedBytes
		if p.Endpoint.IsValid() {
			g.Endpoint = p.Endpoint.String()
		}
	}
	return g
}

// seen finds gateways in the data plane and in consensus.
type seen struct {
	peers   map[tunnel.PublicKey][]*tunnel.ObservedPeer
	members map[catalog.GatewayID]consensus.Peer
}

func (s Sources) newSeen() seen {
	found := seen{peers: map[tunnel.PublicKey][]*tunnel.ObservedPeer{}, members: map[catalog.GatewayID]consensus.Peer{}}
	for _, t := range s.Tunnels {
		for i := range t.Peers {
			p := &t.Peers[i]
			found.peers[p.PublicKey] = append(found.peers[p.PublicKey], p)
		}
	}
	for _, p := range s.Consensus.Peers {
		found.members[p.ID] = p
	}
	return found
}

// paths returns the paths of a node with the results of its liveness probes.
func (s Sources) paths() []Path {
	var out []Path
	own := s.Inputs.Self.Datacenter()
	for _, p := range s.Paths {
		path := Path{Gateway: string(catalog.NewGatewayID(own, p.Gateway)), Device: p.Device, Tunnel: p.Tunnel}
		for _, session := range s.Inputs.Observed.Sessions {
			if string(session.Gateway) == path.Gateway {
				path.Answers, path.RTT = session.Up, session.RTT
			}
		}
		out = append(out, path)
	}
	return out
}

// tunnels returns the existing interfaces and the desired ones that are missing.
func (s Sources) tunnels() []Tunnel {
	out := []Tunnel{}
	for _, t := range s.Tunnels {
		out = append(out, Tunnel{
			Name:      t.Name,
			Lane:      t.Lane,
			Dataplane: t.Dataplane,
			Port:      t.ListenPort,
			MTU:       t.MTU,
			Up:        t.Up && t.Err == nil,
			Peers:     len(t.Peers),
		})
	}
	for _, t := range s.Desired.Tunnels {
		if !slices.ContainsFunc(out, func(o Tunnel) bool { return o.Name == t.Name }) {
			out = append(out, Tunnel{Name: t.Name, Lane: t.Lane, Port: t.ListenPort, MTU: t.MTU})
		}
	}
	slices.SortFunc(out, func(a, b Tunnel) int { return cmp.Or(cmp.Compare(a.Lane, b.Lane), cmp.Compare(a.Name, b.Name)) })
	return out
}

// dropped returns the numbers of packets that the firewall dropped, by reason.
func (s Sources) dropped() map[string]uint64 {
	if len(s.Dropped) == 0 {
		return nil
	}
	out := make(map[string]uint64, len(s.Dropped))
	for _, c := range s.Dropped {
		out[c.Name] = c.Packets
	}
	return out
}

// problems returns the problems sorted and without duplicates.
func (s Sources) problems() []plan.Problem {
	out := append([]plan.Problem{}, s.Problems...)
	slices.SortFunc(out, plan.CompareProblems)
	return slices.Compact(out)
}

// address returns a as text, or the empty string if a is not valid.
func address(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}
