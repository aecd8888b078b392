// Package overlay assigns addresses of the overlay of a federation.
package overlay

import (
	"encoding/binary"
	"fmt"
	"iter"
	"math"
	"net/netip"

	"github.com/meshway/meshway/consensus/catalog"
)

// Address returns the overlay address for a new gateway, given those that are taken,
// ascending.
//
// In an IPv6 overlay of prefix length 48 or less, such as a ULA /48 (RFC 4193), the
// address has the ordinal of the datacenter as 16-bit subnet and index+1 as interface
// identifier, so that it identifies the gateway. In a smaller overlay it is the lowest
// free address.
func Address(overlay netip.Prefix, ordinal, index uint32, taken iter.Seq[netip.Addr]) (netip.Addr, *catalog.Refusal) {
	const subnetStart = 48
	if overlay.Addr().Is6() && overlay.Bits() <= subnetStart {
		if ordinal > math.MaxUint16 {
			return netip.Addr{}, exhausted(overlay)
		}
		a := overlay.Addr().As16()
		binary.BigEndian.PutUint16(a[6:], uint16(ordinal))
		binary.BigEndian.PutUint64(a[8:], uint64(index)+1)
		return netip.AddrFrom16(a), nil
	}
	free := overlay.Addr().Next() // the first address is reserved (the network address, RFC 4291 §2.6.1 in IPv6)
	for a := range taken {
		if a != free {
			break
		}
		free = free.Next()
	}
	isBroadcast := free.Is4() && !overlay.Contains(free.Next())
	if !overlay.Contains(free) || isBroadcast {
		return netip.Addr{}, exhausted(overlay)
	}
	return free, nil
}

func exhausted(overlay netip.Prefix) *catalog.Refusal {
	return &catalog.Refusal{
		Code: catalog.CodeOverlayExhausted, Field: "overlay", Message: fmt.Sprintf("overlay %s has no free address", overlay),
		Remedy: "remove gateways that are gone, or create a federation with a larger overlay",
	}
}
