// Package liveness tells whether the gateways behind the tunnels are alive,
// by BFD sessions (RFC 5880, asynchronous mode; RFC 5881) inside each tunnel.
package liveness
