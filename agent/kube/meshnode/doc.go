// Package meshnode tells gateways which nodes of their cluster reach them
// through a WireGuard tunnel, for they share no link: each node writes one
// MeshNode object, of its own name, and gateways read them. What a node says
// of itself is its key, its port and whom it wants; the addresses behind it
// come from its Node object.
package meshnode
