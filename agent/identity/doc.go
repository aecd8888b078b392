// Package identity stores the identity of a gateway: the CA of its datacenter, its
// WireGuard key and its membership in a federation. It issues the certificates of
// the gateway, verifies those of peers, and encodes and decodes join tokens. It owns
// the data directory and opens no sockets.
package identity
