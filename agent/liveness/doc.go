// Package liveness tells whether the gateways behind the tunnels are alive.
//
// Inside each tunnel runs a BFD session (RFC 5880 asynchronous mode, RFC 5881
// encapsulation) between the overlay addresses. Beside it an ICMP echo goes
// out about once a second, for round-trip time and loss, and at the pace of
// the session when control packets are late: it is the peer's kernel that
// answers, so a tunnel stays up while the agent at its other end restarts.
// BFD's own Echo function (RFC 5880 section 6.4) cannot be used: its packets
// come back with our own source address, which WireGuard rightly drops.
//
// Every packet that WireGuard authenticated counts as life: control packets,
// echo replies, and growth of the peer's received bytes (Activity). The
// failure of one direction is still seen by both sides, because the one that
// hears nothing says so. Deviations from RFC 5881: the source port is the
// well-known one, and there is one socket per local address and device.
//
// A session between two datacenters of one gateway each runs at a fifth of the
// pace (SessionConfig.Relaxed): there is no other gateway that a failure
// could be answered with.
package liveness
