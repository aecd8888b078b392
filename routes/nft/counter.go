package nft

const (
	// CounterTunnel counts packets out of a tunnel with a source that the lane
	// does not lead to.
	CounterTunnel = "spoofed-in-tunnel"
	// CounterUnderlay counts packets from outside the tunnels with a source of
	// another datacenter.
	CounterUnderlay = "spoofed-on-underlay"
)

// Counter is one of the table's named counters.
type Counter struct {
	Name           string
	Packets, Bytes uint64
}
