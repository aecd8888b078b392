package plan

import (
	"fmt"
	"time"

	"github.com/meshway/meshway/agent/config"
)

// MaxLanes bounds the number of interfaces that an invalid record can cause.
// The configuration reserves this many ports above wireguard.port, and one more
// for nodes.
const MaxLanes = 63

// HandshakeLifetime is how long WireGuard uses a session (REJECT_AFTER_TIME,
// WireGuard paper, §6.1). An older handshake is no evidence of a working tunnel.
const HandshakeLifetime = 180 * time.Second

// NodeLane is the lane of a gateway to the nodes of its own datacenter, after
// those to other datacenters.
const NodeLane = MaxLanes

// NodePort returns the UDP port on which a gateway listens for nodes.
func NodePort(cfg config.Config) uint16 { return cfg.WireGuard.Port + NodeLane }

// LaneDevice returns the interface name of a lane.
func LaneDevice(cfg config.Config, lane uint32) string {
	return fmt.Sprintf("%s%d", cfg.WireGuard.Interface, lane)
}

// Bytes that WireGuard adds to a packet, and bounds of the MTU. The larger
// overhead is deducted, since an endpoint may change its family at any time.
const (
	MaxOverhead = 80   // over IPv6
	MinOverhead = 60   // over IPv4
	MinMTU      = 1280 // of IPv6 (RFC 8200 §5); below it the kernel disables IPv6
	defaultMTU  = 1420 // for an underlay MTU of 1500
)

// MTU returns the MTU of all lanes, bytes.
func MTU(cfg config.Config, h Host) int {
	switch {
	case cfg.WireGuard.MTU != 0:
		return cfg.WireGuard.MTU
	case h.UnderlayMTU == 0:
		return defaultMTU
	default:
		return max(h.UnderlayMTU-MaxOverhead, MinMTU)
	}
}
