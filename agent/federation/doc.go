// Package federation makes a gateway a member of a federation: it puts
// identity, control port and consensus together behind the ports that the
// agent declares.
package federation
