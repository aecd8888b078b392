// Package inventory shows the federation in the API of the own cluster: one
// Datacenter object for each member. Gateways write them; nodes that are no
// gateways, and people, read them.
package inventory
