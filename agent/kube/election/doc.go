// Package election elects one of the gateways of a cluster, by a Lease.
package election
