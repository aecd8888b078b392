package plan

import (
	"net/netip"

	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/routes"
	"github.com/meshway/meshway/tunnel"
)

// Desired is the desired state of a gateway.
type Desired struct {
	Tunnels      []tunnel.Config // by lane
	Routes       routes.Config
	Firewall     routes.Firewall
	Sessions     []SessionConfig // sorted by gateway
	Registration Registration
	Prune        bool // objects of ours that are not listed here may be deleted
}

// Empty reports whether nothing is desired: this gateway is no member.
func (d Desired) Empty() bool { return len(d.Tunnels) == 0 }

// SessionConfig is one liveness session that should run.
type SessionConfig struct {
	Gateway catalog.GatewayID
	Device  string
	Local   netip.Addr
	Remote  netip.Addr
	Key     tunnel.PublicKey // of the peer, to find its received bytes
	// Relaxed is set if no other gateway could take over from this peer. Fast
	// detection is then not worth the packets that it costs.
	Relaxed bool
}

// Registration is what the catalog should contain about this gateway and, if
// all its gateways agree, about its datacenter.
type Registration struct {
	// Known is false until the addresses of this host and the prefixes of the
	// datacenter have been read; Gateway and Prefixes are not valid then.
	Known        bool
	Gateway      catalog.Gateway
	Prefixes     []catalog.Prefix
	Observations []catalog.Observation // the endpoints at which this gateway sees others
}
