// Package controltest simulates the TCP network of the control port in memory:
// hosts with addresses, partitions and crashes. It works inside of
// testing/synctest bubbles and carries TLS.
package controltest
