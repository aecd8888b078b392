// Package liveness detects whether the gateways at the other end of the tunnels
// are alive.
//
// Each tunnel has a BFD session (RFC 5880 asynchronous mode, RFC 5881
// encapsulation) between the overlay addresses. In addition the Monitor sends an
// ICMP echo about once a second, to measure round-trip time and loss, and at the
// interval of the session while control packets are overdue: the peer's kernel
// answers it, so that a session stays up while the peer's agent restarts. BFD's
// own Echo function (RFC 5880 section 6.4) cannot be used, because its packets
// return with our own source address, which WireGuard drops.
//
// Every packet that WireGuard has authenticated extends a session that is up:
// control packets, echo replies, and growth of the peer's received bytes
// (Activity). A failure in one direction still takes both ends down, because the
// end that receives nothing sends its new state. Deviations from RFC 5881: the
// source port is the well-known one, and there is one socket per local address
// and device.
//
// A session between two datacenters of one gateway each has five times the
// interval (plan.SessionConfig.Relaxed), because there is no other gateway to use
// after a failure.
package liveness
