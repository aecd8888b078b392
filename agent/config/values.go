package config

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/meshway/meshway/agent/suggest"
	"github.com/meshway/meshway/consensus/catalog"
)

func (v validator) oneOf(key string, t text, allowed ...string) string {
	if slices.Contains(allowed, t.value) {
		return t.value
	}
	if near, ok := suggest.Nearest(t.value, allowed); ok {
		v.faults.add(t.at, "%s: %q is unknown: did you mean %q?", key, t.value, near)
	} else {
		v.faults.add(t.at, "%s: %q is unknown; use one of %s", key, t.value, strings.Join(allowed, ", "))
	}
	return allowed[0]
}

// within validates the range of a number. It returns least for a number out of
// range, so that conversions of the result are safe.
func (v validator) within(key string, n number, least, most int64) int64 {
	if n.value < least || n.value > most {
		v.faults.add(n.at, "%s: %d is out of range; use %d to %d", key, n.value, least, most)
		return least
	}
	return n.value
}

// between validates the range of a duration like within.
func (v validator) between(key string, d duration, least, most time.Duration) time.Duration {
	if d.value < least || d.value > most {
		v.faults.add(d.at, "%s: %v is out of range; use %v to %v", key, d.value, least, most)
		return least
	}
	return d.value
}

// listen validates an address and port to listen on. ":7443" means all addresses.
func (v validator) listen(key string, t text) netip.AddrPort {
	value := t.value
	if strings.HasPrefix(value, ":") {
		value = "[::]" + value
	}
	ap, err := netip.ParseAddrPort(value)
	if err != nil || ap.Port() == 0 {
		v.faults.add(t.at, "%s: %q is not an address to listen on; write address:port, such as [::]:7443 or 192.0.2.1:7443", key, t.value)
	}
	return ap
}

// listenOrOff is listen, with the zero AddrPort for "off".
func (v validator) listenOrOff(key string, t text) netip.AddrPort {
	if t.value == "off" {
		return netip.AddrPort{}
	}
	return v.listen(key, t)
}

// endpoints validates a list of host:port, in which hosts may be names.
func (v validator) endpoints(key string, list []*text) []string {
	var out []string
	for _, t := range list {
		if fault := hostPortFault(t.value); fault != "" {
			v.faults.add(t.at, "%s: %q %s; write host:port, such as 192.0.2.1:51820, [2001:db8::1]:51820 or gw.example.org:51820", key, t.value, fault)
			continue
		}
		if !slices.Contains(out, t.value) {
			out = append(out, t.value)
		}
	}
	return out
}

// hostPortFault returns why others cannot use s as an endpoint of this host; empty: they
// can. The catalog also contains endpoints that are refused here: it has to store what
// members of all versions have registered.
func hostPortFault(s string) string {
	refused := catalog.Gateway{Endpoints: []string{s}}.Check() != nil
	if ap, err := netip.ParseAddrPort(s); err == nil {
		switch kind := kindOfReserved(ap.Addr()); {
		case ap.Port() == 0:
			return "has port 0"
		case kind != "":
			return fmt.Sprintf("has %s address, which other networks cannot reach", kind)
		case refused:
			return "has a zone, which is an interface of this host"
		}
		return ""
	}
	host, port, found := strings.Cut(s, ":")
	n, err := strconv.ParseUint(port, 10, 16)
	switch {
	case !found || err != nil || n == 0:
		return "has no port"
	case isLocalhost(host):
		return "has a name that every host resolves to itself"
	case strings.Trim(host, "0123456789.") == "" && host != "": // RFC 1123 §2.1: a name does not end in a number
		return "has no valid address"
	case refused:
		return "has no host"
	}
	return ""
}

// kindOfReserved returns what kind of address a is if no datacenter can own it, else "".
func kindOfReserved(a netip.Addr) string {
	a = a.Unmap().WithZone("")
	alone := []catalog.Prefix{{CIDR: netip.PrefixFrom(a, a.BitLen()), Kind: catalog.NodePrefix}}
	switch {
	case catalog.ValidatePrefixes(alone) == nil:
		return ""
	case a.IsLoopback():
		return "a loopback"
	case a.IsLinkLocalUnicast():
		return "a link-local"
	case a.IsMulticast():
		return "a multicast"
	default:
		return "an unspecified or broadcast"
	}
}

// isLocalhost reports whether a DNS name is an address of the loopback interface on
// every host (RFC 6761 §6.3, and hosts(5) of many distributions).
func isLocalhost(host string) bool {
	name := strings.TrimSuffix(strings.ToLower(host), ".")
	return name == "localhost" || name == "localhost.localdomain" || strings.HasSuffix(name, ".localhost")
}

// services checks the static registrations.
func (v validator) services(list []rawService, c Config) []catalog.Service {
	var out []catalog.Service
	seen := map[catalog.ServiceKey]position{}
	for i, raw := range list {
		key := fmt.Sprintf("services[%d]", i)
		before := len(v.faults.list)
		s := v.service(key, raw, c)
		if r := refuseService(s); r != nil && len(v.faults.list) == before {
			v.faults.add(raw.at, "%s.%s: %s", key, r.Field, refusal(r))
		}
		if first, twice := seen[s.ServiceKey]; twice {
			v.faults.add(raw.at, "%s: %s/%s instance %s is already in line %d; give each its own instance",
				key, s.Namespace, s.Name, s.Instance, first.line)
			continue
		}
		seen[s.ServiceKey] = raw.at
		out = append(out, s)
	}
	return out
}

func (v validator) service(key string, raw rawService, c Config) catalog.Service {
	orDefault := func(t *text, value string) text {
		if t == nil {
			return text{value: value, at: raw.at}
		}
		return t.or(value)
	}
	name, namespace, instance := orDefault(raw.Name, ""), orDefault(raw.Namespace, "default"), orDefault(raw.Instance, c.Gateway)
	v.name(key+".name", name)
	v.name(key+".namespace", namespace)
	v.name(key+".instance", instance)
	s := catalog.Service{
		ServiceKey: catalog.ServiceKey{
			Namespace: namespace.value,
			Name:      name.value,
			Instance:  instance.value,
		},
		Address: v.serviceAddress(key+".address", orDefault(raw.Address, ""), c.Prefixes),
		Ports:   v.ports(key+".ports", raw.Ports, raw.at),
	}
	for label, value := range raw.Labels {
		if s.Labels == nil {
			s.Labels = map[string]string{}
		}
		s.Labels[label] = value.value
	}
	return s
}

// serviceAddress validates an address, which must be in a prefix of the datacenter
// so that others can reach it.
func (v validator) serviceAddress(key string, t text, prefixes []catalog.Prefix) netip.Addr {
	a, err := netip.ParseAddr(t.value)
	if err != nil || a.Zone() != "" {
		v.faults.add(t.at, "%s: %q is not an address; write one such as 10.1.0.5", key, t.value)
		return netip.Addr{}
	}
	if !slices.ContainsFunc(prefixes, func(p catalog.Prefix) bool { return p.CIDR.Contains(a) }) {
		v.faults.add(t.at, "%s: %v is in none of this datacenter's prefixes, so that others cannot reach it; add its prefix to prefixes", key, a)
	}
	return a
}

func (v validator) ports(key string, list []rawPort, at position) []catalog.Port {
	var out []catalog.Port
	if len(list) == 0 {
		v.faults.add(at, "%s: a service has at least one port; write \"ports: [{port: 80}]\"", key)
	}
	for _, raw := range list {
		p := catalog.Port{Protocol: v.oneOf(key+".protocol", raw.Protocol.or("tcp"), "tcp", "udp")}
		if raw.Name != nil && raw.Name.value != "" {
			v.name(key+".name", *raw.Name)
			p.Name = raw.Name.value
		}
		if raw.Port == nil {
			v.faults.add(raw.at, "%s.port: the number is required; write the port's number", key)
		} else {
			p.Number = uint16(v.within(key+".port", *raw.Port, 1, 65535)) //nolint:gosec // within the range
		}
		if slices.ContainsFunc(out, func(o catalog.Port) bool {
			return o.Name == p.Name || (o.Protocol == p.Protocol && o.Number == p.Number)
		}) {
			v.faults.add(raw.at, "%s: two ports have the same name or number; give each its own", key)
		}
		out = append(out, p)
	}
	return out
}
