//go:build linux

// Command demo runs a federation of three datacenters in network namespaces of this
// machine, and shows the commands of an operator with their results.
package main
