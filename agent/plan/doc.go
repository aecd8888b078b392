// Package plan computes the desired tunnels, routes, firewall and liveness
// sessions of a host from the catalog and what is observed. It is pure: no
// context, no clock, no input or output.
package plan
