// Package tunnelend has what both ends of a tunnel between a node and a gateway of one
// datacenter plan alike: the addresses inside it, and the endpoint of the peer. It is pure.
package tunnelend

import (
	"crypto/sha256"
	"net/netip"
	"slices"

	"github.com/meshway/meshway/tunnel"
)

// first is the first byte of the generated IPv4 addresses; three of its bits are 0.
const first = 240

// Ends are the addresses of hosts in tunnels, IPv4 first.
type Ends map[tunnel.PublicKey][]netip.Addr

// Pair is the addresses of one family at both ends of a tunnel.
type Pair struct{ Local, Remote netip.Addr }

// Assign returns the addresses of this host and of others, given its key and theirs.
// Only the two ends of a tunnel use them, for liveness probes. They are derived from
// the keys, so that no host needs to assign them, and there are two because either
// host may lack IPv6.
//
// The IPv6 prefix is a ULA (RFC 4193) with a random global id. No range of IPv4 is
// unused: 240.0.0.0/5 is reserved (RFC 1112), Linux treats it like any other, and each
// address is only routed as a whole. An address in a prefix that the federation uses is
// left out, so that no host obtains the packets of a pod by its choice of a key. Two
// of 1,000 nodes have the same 27 bits with a probability of 0.4 %: the first of them
// has the address, and the other one none.
func Assign[H any](own tunnel.PublicKey, others []H, key func(H) tunnel.PublicKey, used ...netip.Prefix) Ends {
	reserved := netip.PrefixFrom(netip.AddrFrom4([4]byte{first}), 5)
	used = slices.DeleteFunc(slices.Clone(used), func(p netip.Prefix) bool { return !p.Overlaps(reserved) })
	keys := []tunnel.PublicKey{own}
	for _, h := range others {
		keys = append(keys, key(h))
	}
	out := make(Ends, len(keys))
	taken := make(map[netip.Addr]bool, len(keys))
	for _, k := range keys {
		if out[k] != nil {
			continue
		}
		v4, v6 := derive(k)
		if !taken[v4] && !slices.ContainsFunc(used, func(p netip.Prefix) bool { return p.Contains(v4) }) {
			out[k] = append(out[k], v4)
		}
		taken[v4] = true
		out[k] = append(out[k], v6)
	}
	return out
}

// Prefixes returns the addresses of a host as prefixes.
func (e Ends) Prefixes(key tunnel.PublicKey) []netip.Prefix {
	var out []netip.Prefix
	for _, a := range e[key] {
		out = append(out, netip.PrefixFrom(a, a.BitLen()))
	}
	return out
}

// Pairs returns the addresses of two hosts in each family that both have.
func (e Ends) Pairs(local, remote tunnel.PublicKey) []Pair {
	var out []Pair
	for _, l := range e[local] {
		for _, r := range e[remote] {
			if l.Is4() == r.Is4() {
				out = append(out, Pair{l, r})
			}
		}
	}
	return out
}

func derive(key tunnel.PublicKey) (v4, v6 netip.Addr) {
	sum := sha256.Sum256(key[:])
	a := [16]byte{0xfd, 0x9b, 0x41, 0x7e, 0xc3, 0x05}
	copy(a[8:], sum[:])
	return netip.AddrFrom4([4]byte{first | sum[0]&0x07, sum[1], sum[2], sum[3]}), netip.AddrFrom16(a)
}
