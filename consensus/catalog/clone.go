package catalog

import (
	"bytes"
	"maps"
	"slices"
)

// The records in the tables are shared by all views and must never change, so
// callers only get clones.

// Clone returns a deep copy of d.
func (d Datacenter) Clone() Datacenter {
	d.CACertificate = bytes.Clone(d.CACertificate)
	d.Prefixes = slices.Clone(d.Prefixes)
	d.Signature = d.Signature.Clone()
	d.Successions = slices.Clone(d.Successions)
	for i, s := range d.Successions {
		d.Successions[i].Predecessor, d.Successions[i].Certificate = bytes.Clone(s.Predecessor), bytes.Clone(s.Certificate)
	}
	return d
}

// Clone returns a deep copy of g.
func (g Gateway) Clone() Gateway {
	g.Endpoints = slices.Clone(g.Endpoints)
	g.Controls = slices.Clone(g.Controls)
	g.Signature = g.Signature.Clone()
	return g
}

// Clone returns a deep copy of s.
func (s Service) Clone() Service {
	s.Ports = slices.Clone(s.Ports)
	s.Labels = maps.Clone(s.Labels)
	return s
}

// Clone returns a deep copy of e.
func (e Export) Clone() Export {
	e.Ports = slices.Clone(e.Ports)
	e.IPFamilies = slices.Clone(e.IPFamilies)
	e.Labels = maps.Clone(e.Labels)
	e.Annotations = maps.Clone(e.Annotations)
	return e
}

// Clone returns a deep copy of s.
func (s EndpointSlice) Clone() EndpointSlice {
	s.Endpoints = slices.Clone(s.Endpoints)
	s.Ports = slices.Clone(s.Ports)
	return s
}
