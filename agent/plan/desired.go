package plan

import (
	"net/netip"

	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/routes"
	"github.com/meshway/meshway/tunnel"
)

// Desired is what should be.
type Desired struct {
	Tunnels      []tunnel.Config // by lane
	Routes       routes.Config
	Firewall     routes.Firewall
	Sessions     []SessionConfig       // sorted by gateway
	Observations []catalog.Observation // to be told to the catalog
	Prune        bool                  // what is ours and not in here may be deleted
}

// SessionConfig is one liveness session that should run.
type SessionConfig struct {
	Gateway catalog.GatewayID
	Device  string
	Local   netip.Addr
	Remote  netip.Addr
	Key     tunnel.PublicKey // of the peer, to find its received bytes
	// Relaxed: no other gateway could take over when this one fails, so
	// that knowing it at once is worth less than the packets it costs.
	Relaxed bool
}
