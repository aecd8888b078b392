// Package meshnode carries the tunnel ends of nodes to the gateways of their
// cluster with which they share no link. Each node writes one MeshNode object with
// its public key, its port and the gateways that it has tunnels to; gateways read
// the objects. The addresses of a node come from its Node object.
package meshnode
