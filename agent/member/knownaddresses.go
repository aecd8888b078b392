package member

import (
	"net"
	"net/netip"
	"sync"

	"github.com/meshway/meshway/consensus/catalog/replica"
)

// knownAddresses is the set of addresses from which gateways in the catalog connect:
// those that they advertise, and those that others observed.
type knownAddresses struct {
	view func() *replica.View

	mu    sync.Mutex // guards all following fields
	index uint64     // of the catalog that set was read from
	set   map[netip.Addr]bool
}

// contains reports whether addr is in the set. It reads the catalog once per change.
func (k *knownAddresses) contains(addr netip.Addr) bool {
	view := k.view()
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.set == nil || k.index != view.Index() {
		k.index, k.set = view.Index(), addressesOf(view)
	}
	return k.set[addr]
}

func addressesOf(view *replica.View) map[netip.Addr]bool {
	set := make(map[netip.Addr]bool)
	for _, g := range view.Gateways() {
		for _, list := range [][]string{g.Endpoints, g.Controls} {
			for _, hostport := range list {
				host, _, err := net.SplitHostPort(hostport)
				if err != nil {
					continue
				}
				if addr, err := netip.ParseAddr(host); err == nil { // a name is not resolved here
					set[addr.Unmap().WithZone("")] = true
				}
			}
		}
	}
	for _, o := range view.Observations() {
		set[o.Endpoint.Addr().Unmap()] = true
	}
	return set
}
