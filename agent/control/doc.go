// Package control is the control port: one TCP port on which gateways exchange
// RPC (Connect) and Raft over mutually authenticated TLS 1.3.
//
//	          ┌ ALPN meshway-raft/1 ─► RaftNetwork.Accept      members only
//	TCP ─ TLS ┤
//	          └ ALPN h2 ─► Federation service ─► Service       members; Join: any caller with a token
//
// Real sockets are in package sockets, simulated ones in package controltest.
package control
