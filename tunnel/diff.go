package tunnel

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"time"
)

// Diff returns the change that turns have into want. The private key is not
// part of Config, so that configurations can be printed.
//
// Diff sets an endpoint if want has one that differs. To keep a roamed endpoint, a
// planner leaves it out: the observed one may have changed since. A listen port or MTU of 0 in want
// matches any.
//
// Diff omits peers that can never work, so that they do not make the whole
// change fail: a peer without a key, and a peer with this interface's own key,
// which every data plane drops silently. A prefix of several peers
// belongs to the first of them by key.
func Diff(want Config, have Observed, key PrivateKey) Change {
	c := Change{Name: want.Name}
	self := key.Public()
	if have.PublicKey != self {
		c.PrivateKey = &key
	}
	if want.ListenPort != 0 && want.ListenPort != have.ListenPort {
		c.ListenPort = &want.ListenPort
	}
	if want.Mark != have.Mark {
		c.Mark = &want.Mark
	}
	if want.MTU != 0 && want.MTU != have.MTU {
		c.MTU = want.MTU
	}
	c.AddAddresses = missing(want.Addresses, have.Addresses)
	c.RemoveAddresses = missing(have.Addresses, want.Addresses)
	c.Peers, c.RemovePeers = diffPeers(validPeers(want.Peers, self), have.Peers)
	c.Up = !have.Up
	return c
}

// validPeers returns the peers that can work, sorted by key, each prefix in
// one of them only.
func validPeers(peers []Peer, self PublicKey) []Peer {
	sorted := slices.SortedFunc(slices.Values(peers), comparePeers)
	sorted = slices.CompactFunc(sorted, func(a, b Peer) bool { return a.PublicKey == b.PublicKey })
	owned := map[netip.Prefix]bool{}
	var out []Peer
	for _, p := range sorted {
		if p.PublicKey.IsZero() || p.PublicKey == self {
			continue
		}
		var ips []netip.Prefix
		for _, ip := range p.AllowedIPs {
			if ip = ip.Masked(); ip.IsValid() && !owned[ip] {
				owned[ip] = true
				ips = append(ips, ip)
			}
		}
		p.AllowedIPs = ips
		p.Endpoint = unmap(p.Endpoint)
		p.Keepalive = p.Keepalive.Truncate(time.Second)
		out = append(out, p)
	}
	return out
}

func diffPeers(want []Peer, have []ObservedPeer) (changes []PeerChange, remove []PublicKey) {
	had := make(map[PublicKey]ObservedPeer, len(have))
	for _, p := range have {
		had[p.PublicKey] = p
	}
	kept := map[netip.Prefix]bool{} // prefixes of all desired peers
	for _, p := range want {
		for _, ip := range p.AllowedIPs {
			kept[ip] = true
		}
	}
	for _, p := range want {
		observed, exists := had[p.PublicKey]
		delete(had, p.PublicKey)
		old := observed.Peer
		renew := exists && p.Renew && observed.ReceivedBytes == p.RenewAt
		switch {
		case renew:
			p.Endpoint, old = cmp.Or(p.Endpoint, old.Endpoint), Peer{}
		case exists && p.Renew:
			p.Endpoint = netip.AddrPort{}
		}
		if pc, differs := diffPeer(p, old, kept); differs || !exists || renew {
			pc.Add, pc.Renew = !exists || renew, renew
			changes = append(changes, pc)
		}
	}
	return changes, slices.SortedFunc(maps.Keys(had), PublicKey.Compare)
}

// diffPeer compares one peer. A prefix that moves to another peer is not
// removed here: adding it to the other peer moves it atomically.
func diffPeer(want, have Peer, kept map[netip.Prefix]bool) (PeerChange, bool) {
	pc := PeerChange{
		PublicKey:     want.PublicKey,
		AddAllowedIPs: missing(want.AllowedIPs, have.AllowedIPs),
	}
	for _, ip := range missing(have.AllowedIPs, want.AllowedIPs) {
		if !kept[ip] {
			pc.RemoveAllowedIPs = append(pc.RemoveAllowedIPs, ip)
		}
	}
	if want.Endpoint.IsValid() && want.Endpoint != unmap(have.Endpoint) {
		pc.Endpoint = want.Endpoint
	}
	if want.Keepalive != have.Keepalive {
		pc.Keepalive = &want.Keepalive
	}
	differs := len(pc.AddAllowedIPs)+len(pc.RemoveAllowedIPs) > 0 || pc.Endpoint.IsValid() || pc.Keepalive != nil
	return pc, differs
}

// missing returns the prefixes in a that are not in b, sorted.
func missing(a, b []netip.Prefix) []netip.Prefix {
	has := make(map[netip.Prefix]bool, len(b))
	for _, p := range b {
		has[p] = true
	}
	var out []netip.Prefix
	for _, p := range a {
		if !has[p] {
			has[p] = true
			out = append(out, p)
		}
	}
	slices.SortFunc(out, netip.Prefix.Compare)
	return out
}

func unmap(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}

// SameConfig reports whether two observations of the same interfaces have the same
// configuration. Endpoints are not part of it, because WireGuard changes them.
func SameConfig(a, b []Observed) bool { return slices.EqualFunc(a, b, sameInterface) }

func sameInterface(a, b Observed) bool {
	return a.Name == b.Name && a.Index == b.Index && a.Up == b.Up && a.MTU == b.MTU && (a.Err == nil) == (b.Err == nil) &&
		a.PublicKey == b.PublicKey && a.ListenPort == b.ListenPort && a.Mark == b.Mark &&
		slices.Equal(a.Addresses, b.Addresses) && slices.EqualFunc(a.Peers, b.Peers, samePeer)
}

func samePeer(a, b ObservedPeer) bool {
	return a.PublicKey == b.PublicKey && a.Keepalive == b.Keepalive && slices.Equal(a.AllowedIPs, b.AllowedIPs)
}
