// Package pathmtu finds the largest packet that reaches each remote gateway
// through its tunnel (RFC 8899, datagram packetization layer path MTU discovery).
//
// The probes are ICMP echoes between the overlay addresses, which the peer's
// kernel answers with the same size: the result is the smaller one of both
// directions, and a gateway of any version answers. A probe is inside the tunnel,
// so that its answer cannot be forged on the path, and ICMP errors of the path are not
// needed.
//
// A round sends probes of several sizes, the largest first. A size is too large
// if none of its probes was answered although smaller ones, sent later, were: a
// path that loses or delays all packets does not show its MTU. Rounds are
// repeated until two neighbouring sizes are known of which one is too large. The
// size in use is confirmed every confirmInterval, so that a path that becomes
// narrower is noticed in less than a second; larger sizes are tried every
// raiseInterval.
package pathmtu
