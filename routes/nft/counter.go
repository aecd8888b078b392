package nft

const (
	// CounterTunnel counts packets from a tunnel whose source is not routed to
	// its lane.
	CounterTunnel = "spoofed-in-tunnel"
	// CounterUnderlay counts packets from outside the tunnels whose source is in
	// another datacenter.
	CounterUnderlay = "spoofed-on-underlay"
)

// Counter is one of the table's named counters.
type Counter struct {
	Name           string
	Packets, Bytes uint64
}
