// Package coredns owns the changes of a cluster's DNS server for imported services:
// its Corefile, its permissions, and when its pods have read them.
package coredns
