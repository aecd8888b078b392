package plan

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/meshway/meshway/routes"
)

// LinkAddress is an address of another host on a link of this one.
type LinkAddress struct {
	Device  string
	Address netip.Addr
}

// DeviceTo returns the device on whose link an address of another host is.
func (h Host) DeviceTo(a netip.Addr) (string, bool) {
	if slices.Contains(h.Addresses, a) {
		return "", false // it is our own
	}
	device, bits := "", -1
	for _, l := range h.Links {
		for _, p := range l.Prefixes {
			if p.Contains(a) && (p.Bits() > bits || p.Bits() == bits && l.Device < device) {
				device, bits = l.Device, p.Bits()
			}
		}
	}
	return device, bits >= 0
}

// LocalAddressFor returns the lowest address of this host on a link that a is
// on, or the zero Addr.
func (h Host) LocalAddressFor(a netip.Addr) netip.Addr {
	best := netip.Addr{}
	for _, l := range h.Links {
		for _, p := range l.Prefixes {
			for _, own := range h.Addresses {
				if p.Contains(a) && p.Contains(own) && (!best.IsValid() || own.Less(best)) {
					best = own
				}
			}
		}
	}
	return best
}

// Sysctls returns the settings of this host with those of its links, sorted by key.
func (h Host) Sysctls(settings []routes.Sysctl) []routes.Sysctl {
	settings = append(settings, routes.AcceptRASysctls(h.Advertised)...)
	if h.IPv6 == IPv6Missing {
		settings = routes.Without(settings, routes.IPv6)
	}
	slices.SortFunc(settings, func(a, b routes.Sysctl) int { return cmp.Compare(a.Key, b.Key) })
	return settings
}

// StrictOf returns the devices whose reverse-path filter is strict. Only those are
// made loose: on a device without an address, as CNI plugins have them, a loose
// filter drops packets that no filter would drop.
func (h Host) StrictOf(devices []string) []string {
	return slices.DeleteFunc(slices.Clone(devices), func(d string) bool { return !slices.Contains(h.Strict, d) })
}
