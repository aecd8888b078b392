// Package sockets opens the control port's TCP sockets on Linux, with the
// firewall mark that lets the underlay's escape Meshway's own routing table.
package sockets
