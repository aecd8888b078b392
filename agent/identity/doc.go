// Package identity keeps what a gateway is known by: the CA of its datacenter,
// its certificates, its WireGuard key, its membership in a federation, and the
// tokens with which others join. It owns the data directory and verifies
// peers' certificates; it opens no sockets.
package identity
