// Package inventory publishes the federation in the API of the own cluster: one
// Datacenter object for each member. Gateways write the objects; the other nodes
// of the cluster, and people, read them.
package inventory
