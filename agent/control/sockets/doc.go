// Package sockets opens the TCP sockets of the control port on Linux. Sockets of the
// underlay have the firewall mark with which they bypass Meshway's routing table.
package sockets
