package catalog

import (
	"bytes"
	"maps"
	"slices"
)

// The records inside the tables are shared by all views and must never change.
// What goes out to callers is a clone.

// Clone copies d with all that it refers to.
func (d Datacenter) Clone() Datacenter {
	d.CACertificate = bytes.Clone(d.CACertificate)
	d.Prefixes = slices.Clone(d.Prefixes)
	return d
}

// Clone copies g with all that it refers to.
func (g Gateway) Clone() Gateway {
	g.Endpoints = slices.Clone(g.Endpoints)
	g.Controls = slices.Clone(g.Controls)
	return g
}

// Clone copies s with all that it refers to.
func (s Service) Clone() Service {
	s.Ports = slices.Clone(s.Ports)
	s.Labels = maps.Clone(s.Labels)
	return s
}

// Clone copies e with all that it refers to.
func (e Export) Clone() Export {
	e.Ports = slices.Clone(e.Ports)
	e.IPFamilies = slices.Clone(e.IPFamilies)
	e.Labels = maps.Clone(e.Labels)
	e.Annotations = maps.Clone(e.Annotations)
	return e
}

// Clone copies s with all that it refers to.
func (s EndpointSlice) Clone() EndpointSlice {
	s.Endpoints = slices.Clone(s.Endpoints)
	s.Ports = slices.Clone(s.Ports)
	return s
}
