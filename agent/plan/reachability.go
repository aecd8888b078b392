package plan

import (
	"cmp"
	"slices"
	"time"

	"github.com/meshway/meshway/consensus/catalog"
)

// MembershipState describes whether a datacenter is in a federation, as far as
// one of its gateways can observe it.
type MembershipState int

// The membership states.
const (
	// NotMember means that the datacenter is in no federation.
	NotMember MembershipState = iota
	// MembershipChanging means that the gateway is joining or leaving, or is not
	// a member while its datacenter is one. Nothing may follow from it.
	MembershipChanging
	// IsMember means that the gateway, and so its datacenter, is a member.
	IsMember
)

// Reachability is what one gateway observes of its federation. Control loops act
// on it; the status is another view of the same observations.
type Reachability struct {
	State       MembershipState
	Guarded     bool // NotMember: packets to the datacenters of the federation that was left are dropped
	Self        catalog.GatewayID
	Draining    bool                     // this gateway takes no new traffic
	Federation  catalog.Federation       // zero: not known yet
	Synced      bool                     // the local copy of the catalog has caught up since the start
	Datacenters []DatacenterReachability // by name, including the own one
	Problems    []Problem                // of the last pass
}

// DatacenterReachability is one member of the federation, with the state of the
// tunnels to it.
type DatacenterReachability struct {
	catalog.Datacenter
	Self      bool
	Reachable bool                  // it is the own one, or a tunnel to one of its gateways works
	Gateways  []GatewayReachability // by index
}

// GatewayReachability is one gateway with its liveness session; there is none
// with gateways of the own datacenter.
type GatewayReachability struct {
	catalog.Gateway
	Session  Session
	Draining bool // takes no new traffic; Session.Up is false then although the tunnel works
}

// Witness reports whether the datacenter only votes.
func (dc DatacenterReachability) Witness() bool {
	return len(dc.Gateways) > 0 && !slices.ContainsFunc(dc.Gateways, func(g GatewayReachability) bool { return !g.Witness })
}

// LastReachable returns when the datacenter was last known to be reachable: when
// the last packet of any of its gateways arrived, or a session with one changed.
func (dc DatacenterReachability) LastReachable() time.Time {
	var last time.Time
	for _, g := range dc.Gateways {
		for _, at := range []time.Time{g.Session.LastPacket, g.Session.Since} {
			if at.After(last) {
				last = at
			}
		}
	}
	return last
}

// Reach returns what the inputs show of each datacenter of the catalog, sorted by
// name, with its prefixes sorted by CIDR.
func Reach(in Inputs) []DatacenterReachability {
	var out []DatacenterReachability
	gateways, sessions := map[catalog.DatacenterName][]GatewayReachability{}, map[catalog.GatewayID]Session{}
	for _, s := range in.Observed.Sessions {
		sessions[s.Gateway] = s
	}
	for _, g := range in.Catalog.Gateways {
		gateways[g.Datacenter] = append(gateways[g.Datacenter], reachabilityOf(in, sessions, g))
	}
	for _, record := range in.Catalog.Datacenters {
		dc := DatacenterReachability{Datacenter: record, Self: record.Name == in.Self.Datacenter(), Gateways: gateways[record.Name]}
		dc.Prefixes = slices.SortedFunc(slices.Values(record.Prefixes), func(a, b catalog.Prefix) int { return a.CIDR.Compare(b.CIDR) })
		dc.Reachable = dc.Self
		slices.SortFunc(dc.Gateways, func(a, b GatewayReachability) int {
			return cmp.Or(cmp.Compare(a.Index, b.Index), cmp.Compare(a.ID(), b.ID()))
		})
		for _, g := range dc.Gateways {
			dc.Reachable = dc.Reachable || g.Session.Up || g.Draining
		}
		out = append(out, dc)
	}
	slices.SortFunc(out, func(a, b DatacenterReachability) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

func reachabilityOf(in Inputs, sessions map[catalog.GatewayID]Session, record catalog.Gateway) GatewayReachability {
	g := GatewayReachability{Gateway: record, Draining: record.Datacenter == in.Self.Datacenter() && record.Draining}
	if session, ok := sessions[record.ID()]; ok && record.ID() != in.Self {
		g.Session, g.Draining = session, session.Draining
	}
	return g
}
