// Package control is the control port: one TCP port on which gateways exchange
// RPC (Connect) and Raft over mutually authenticated TLS 1.3.
//
//	          ┌ ALPN meshway-raft/1 ─► RaftNetwork.Accept      members only
//	TCP ─ TLS ┤
//	          └ ALPN h2 ─► Federation service ─► Service       members; Join: any caller with a token
//
// Package sockets opens real sockets, package controltest simulated ones. DESIGN.md
// describes trust, limits and failures.
package control
