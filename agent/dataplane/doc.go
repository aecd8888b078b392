// Package dataplane runs the loop that keeps a host's tunnels, routes and
// firewall equal to what is planned: Gateway on a gateway, Node on any other
// host of a cluster.
//
// Each pass reads all inputs with one clock, computes the plan, which is pure,
// applies it, and records the outcome. What a pass reads after the apply has a time of
// its own, and is an input of the next pass only.
package dataplane
