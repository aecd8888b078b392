package liveness

import (
	"context"
	"log/slog"
	"net/netip"
	"time"

	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/tunnel"
)

// Network opens the sockets of the sessions. UDP is the real one,
// livenesstest has one in memory.
type Network interface {
	// Listen opens the socket of one local address inside the tunnels. An
	// empty device means any. The address need not be up yet.
	Listen(ctx context.Context, local netip.AddrPort, device string) (PacketConn, error)
}

// PacketConn sends and receives the packets of all sessions of one local address.
type PacketConn interface {
	ReadFrom(b []byte) (n int, from netip.AddrPort, err error)
	WriteTo(b []byte, to netip.AddrPort) error
	Close() error // ends ReadFrom
}

// Config is what a Monitor needs.
type Config struct {
	Port       uint16        // UDP; 0: 3784 (RFC 5881 section 4)
	Interval   time.Duration // between control packets; 0: 100 ms
	Multiplier int           // packets missed until a session is down; 0: 5
	Network    Network
	Log        *slog.Logger // nil: discard
}

// Monitor runs the sessions.
type Monitor struct{ cfg Config }

// New prepares a monitor; Run makes it live.
func New(cfg Config) *Monitor { return &Monitor{cfg: cfg} }

// Run sends, receives and decides until ctx ends.
func (m *Monitor) Run(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }

// Set says which sessions should run. Those that go on are not disturbed.
func (m *Monitor) Set(sessions []plan.SessionConfig) {}

// Sessions is a snapshot, sorted by gateway and device.
func (m *Monitor) Sessions() []plan.Session { return nil }

// Activity tells how many bytes the data plane has received from a peer; if
// they grew, the peer is alive (RFC 5880 leaves this to the implementation).
func (m *Monitor) Activity(key tunnel.PublicKey, receivedBytes uint64) {}

// Changed returns a channel that is closed when, after this call, a session goes up or down.
func (m *Monitor) Changed() <-chan struct{} { return nil }
