package catalog

import (
	"encoding/binary"
	"fmt"
	"math"
	"net/netip"
)

// overlayAddress gives a new gateway its address inside the tunnels.
//
// An IPv6 overlay with room for it (a ULA /48, RFC 4193) has a 16-bit subnet for
// each datacenter, its ordinal, and index+1 as host: who reads the address sees
// whose it is. A smaller overlay gives the lowest address that is free.
func (w *writer) overlayAddress(overlay netip.Prefix, ordinal, index uint32) (netip.Addr, *Refusal) {
	const subnetStart = 48
	if overlay.Addr().Is6() && overlay.Bits() <= subnetStart {
		if ordinal > math.MaxUint16 {
			return netip.Addr{}, overlayExhausted(overlay)
		}
		a := overlay.Addr().As16()
		binary.BigEndian.PutUint16(a[6:], uint16(ordinal))
		binary.BigEndian.PutUint64(a[8:], uint64(index)+1)
		return netip.AddrFrom16(a), nil
	}
	free := overlay.Addr().Next() // the first address is the network's (RFC 4291 §2.6.1 for IPv6)
	for g := range each[Gateway](w.txn, tableGateways, indexOverlay) {
		if g.Overlay != free {
			break
		}
		free = free.Next()
	}
	isBroadcast := free.Is4() && !overlay.Contains(free.Next())
	if !overlay.Contains(free) || isBroadcast {
		return netip.Addr{}, overlayExhausted(overlay)
	}
	return free, nil
}

func overlayExhausted(overlay netip.Prefix) *Refusal {
	return &Refusal{
		Code: CodeOverlayExhausted, Field: "overlay", Message: fmt.Sprintf("no address is free in %s", overlay),
		Remedy: "remove gateways that are gone, or make a federation with a larger overlay",
	}
}
