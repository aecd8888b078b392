//go:build linux

// Command demo shows a federation of three datacenters working, in network
// namespaces of this machine: what an operator types, and what comes of it.
package main
