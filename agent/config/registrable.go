package config

import (
	"cmp"
	"net/netip"

	"github.com/meshway/meshway/consensus/catalog"
)

// lanePorts is the number of UDP ports from wireguard.port on that the tunnels may use.
const lanePorts = 64

// certificateSpace is more than the certificate and the signatures in the command that
// adds a datacenter.
const certificateSpace = 8 << 10

// registrable validates what the catalog refuses only as a whole.
func (v validator) registrable(raw rawConfig, c Config) {
	for _, list := range []struct {
		key    string
		raw    []*text
		record catalog.Gateway
	}{
		{"wireguard.advertise", raw.WireGuard.Advertise, catalog.Gateway{Endpoints: c.WireGuard.Advertise}},
		{"control.advertise", raw.Control.Advertise, catalog.Gateway{Controls: c.Control.Advertise}},
	} {
		if r := list.record.Check(); r != nil {
			v.faults.add(list.raw[0].at, "%s: %s", list.key, refusal(r))
		}
	}
	command := catalog.NewInit(catalog.Federation{}, catalog.Datacenter{
		Name: c.Datacenter, Prefixes: c.Prefixes, CACertificate: make([]byte, certificateSpace),
	}, catalog.Gateway{Datacenter: c.Datacenter, Name: c.Gateway, Endpoints: c.WireGuard.Advertise, Controls: c.Control.Advertise})
	if r := catalog.CheckEnvelope(command); r != nil && r.Code == catalog.CodeTooLarge {
		v.faults.add(position{file: v.file}, "prefixes: %d prefixes do not fit into the catalog; announce larger ones that contain them", len(c.Prefixes))
	}
}

// refuseService returns why the catalog refuses a service, or nil.
func refuseService(s catalog.Service) *catalog.Refusal {
	if r := s.ServiceKey.Check(); r != nil {
		return r
	}
	return s.Check()
}

// distinctPorts validates that this host can listen on all ports at once.
func (v validator) distinctPorts(raw rawConfig, c Config) {
	at := func(leaf *position) position {
		if leaf == nil {
			return position{file: v.file}
		}
		return *leaf
	}
	if port := c.Liveness.Port; port >= c.WireGuard.Port && uint32(port) < uint32(c.WireGuard.Port)+lanePorts {
		v.faults.add(at(cmp.Or(positionOf(raw.Liveness.Port), positionOf(raw.WireGuard.Port))),
			"liveness.port: %d is a port of the tunnels, which use UDP %d to %d from wireguard.port on; use another one",
			port, c.WireGuard.Port, uint32(c.WireGuard.Port)+lanePorts-1)
	}
	for _, p := range []struct {
		key, other         string
		leaf, otherLeaf    *text
		listen, otherPlace netip.AddrPort
	}{
		{"metrics.listen", "control.listen", raw.Metrics.Listen, raw.Control.Listen, c.Metrics.Listen, c.Control.Listen},
		{"catalog.listen", "control.listen", raw.Catalog.Listen, raw.Control.Listen, c.Catalog.Listen, c.Control.Listen},
		{"catalog.listen", "metrics.listen", raw.Catalog.Listen, raw.Metrics.Listen, c.Catalog.Listen, c.Metrics.Listen},
	} {
		if overlap(p.listen, p.otherPlace) {
			v.faults.add(at(cmp.Or(textPosition(p.leaf), textPosition(p.otherLeaf))),
				"%s: %v is also the port of %s %v; use another one", p.key, p.listen, p.other, p.otherPlace)
		}
	}
}

func positionOf(n *number) *position {
	if n == nil {
		return nil
	}
	return &n.at
}

func textPosition(t *text) *position {
	if t == nil {
		return nil
	}
	return &t.at
}

// overlap reports whether one of two addresses to listen on excludes the other one.
func overlap(a, b netip.AddrPort) bool {
	return a.Port() != 0 && a.Port() == b.Port() &&
		(a.Addr().Unmap() == b.Addr().Unmap() || a.Addr().IsUnspecified() || b.Addr().IsUnspecified())
}
