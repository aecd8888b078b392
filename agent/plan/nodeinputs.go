package plan

import (
	"net/netip"
	"time"

	"github.com/meshway/meshway/agent/config"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/routes"
	"github.com/meshway/meshway/tunnel"
)

// NodeInputs is everything that the plan of a node depends on. A node takes no
// part in the federation: it only routes to the gateways of its datacenter.
type NodeInputs struct {
	Config    config.Config
	PublicKey tunnel.PublicKey // of this node
	Host      Host
	Inventory Inventory
	Withdrawn []Withdrawn
	Observed  Observed
	Synced    bool // Inventory and Host are complete
	Now       time.Time
}

// Inventory is the federation as it is in the API of the own cluster.
type Inventory struct {
	Overlay  netip.Prefix // zero: not known
	Members  []Member     // the own datacenter too
	Gateways []OwnGateway // of the own datacenter
	// Left is the federation, if the own datacenter has left it: the gateways then drop
	// packets to the other members until that is released.
	Left string
}

// PrefixesOf returns the ranges of one datacenter, or nil if it is not known.
func (i Inventory) PrefixesOf(name catalog.DatacenterName) []catalog.Prefix {
	for _, m := range i.Members {
		if m.Name == name {
			return m.Prefixes
		}
	}
	return nil
}

// Member is one datacenter of the federation.
type Member struct {
	Name     catalog.DatacenterName
	Ordinal  uint32
	Prefixes []catalog.Prefix
	Through  []string // names of the own gateways that reach it
}

// OwnGateway is a gateway of the own datacenter.
type OwnGateway struct {
	Name      string
	Index     uint32
	Addresses []netip.Addr     // of its node
	PublicKey tunnel.PublicKey // of its tunnels to nodes; zero: it has none
	Port      uint16           // UDP, of its tunnels to nodes
}

// NodeDesired is the desired state of a node.
type NodeDesired struct {
	Tunnels  []tunnel.Config // one to each gateway that shares no link, by index
	Routes   routes.Config
	Firewall routes.Firewall
	Sessions []SessionConfig // sorted by gateway
	Paths    []Path          // sorted by gateway
	Pods     []netip.Prefix  // ranges of the pods of this host, derived from its routes; sorted
	Hold     bool            // the inputs are insufficient; change nothing
	Prune    bool            // objects of ours that are not listed here may be deleted
}

// TunnelSessions returns the sessions through tunnels, and the MTU of these.
func (d NodeDesired) TunnelSessions() (sessions []SessionConfig, mtu int) {
	for _, t := range d.Tunnels {
		mtu = t.MTU // of all
		for _, s := range d.Sessions {
			if s.Device == t.Name {
				sessions = append(sessions, s)
			}
		}
	}
	return sessions, mtu
}

// Path is how a node reaches a gateway of its datacenter.
type Path struct {
	Gateway string
	Device  string
	Tunnel  bool // false: the gateway is on the link of Device
}

// Empty reports whether nothing is desired: the datacenter is in no federation.
func (d NodeDesired) Empty() bool {
	return !d.Hold && len(d.Routes.Routes) == 0 && len(d.Firewall.Local) == 0
}
