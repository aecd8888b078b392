// Package controltest simulates the TCP network of the control port in memory:
// hosts with addresses, partitions and crashes. It carries TLS and works inside
// testing/synctest bubbles.
package controltest
