package tunneltest

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/tunnel"
)

// Prefix is the name prefix of the interfaces that TestDevice creates.
const Prefix = "mesh"

// TestDevice tests a Device against the contract. open returns a device on a
// host without interfaces; steps is the length of the random walk.
func TestDevice(t *testing.T, steps int, open func(t *testing.T) tunnel.Device) {
	for _, tt := range []struct {
		promise string
		test    func(*testing.T, tunnel.Device)
	}{
		{"nothing differs after apply", testApply},
		{"an existing interface is adopted", testAdopt},
		{"every field can be changed", testChangeFields},
		{"a peer is renewed", testRenew},
		{"a prefix moves to another peer", testMovePrefix},
		{"removing a prefix keeps the others", testRemovePrefix},
		{"nothing is removed without prune", testPrune},
		{"missing interfaces", testMissing},
		{"every state of a random walk is reached", func(t *testing.T, d tunnel.Device) { testRandomWalk(t, d, steps) }},
	} {
		t.Run(tt.promise, func(t *testing.T) { tt.test(t, open(t)) })
	}
}

// Key returns the n-th private key of the tests.
func Key(n byte) tunnel.PrivateKey {
	return tunnel.PrivateKeyOf([32]byte{1: n, 31: 64})
}

// ConfigOf returns the configuration of an observed interface, to compare with
// the desired one.
func ConfigOf(o tunnel.Observed) tunnel.Config {
	c := o.Config
	c.Peers = nil
	for _, p := range o.Peers {
		c.Peers = append(c.Peers, p.Peer)
	}
	return c
}

// RequireApplied fails the test unless have is exactly want.
func RequireApplied(t testing.TB, key tunnel.PrivateKey, want []tunnel.Config, have []tunnel.Observed) {
	t.Helper()
	var got []tunnel.Config
	for _, o := range have {
		require.NoError(t, o.Err)
		assert.True(t, o.Up, "%s is up", o.Name)
		assert.Equal(t, key.Public(), o.PublicKey)
		assert.NotZero(t, o.Index)
		got = append(got, ConfigOf(o))
	}
	require.Equal(t, want, got)
}

func testApply(t *testing.T, dev tunnel.Device) {
	want := []tunnel.Config{lane(0, peer(1, "10.1.0.0/16", "fd00:1::/64"), peer(2, "10.2.0.0/16")), lane(1)}
	have := apply(t, dev, want)
	RequireApplied(t, Key(100), want, have)
	for i := range want {
		require.True(t, tunnel.Diff(want[i], have[i], Key(100)).Empty())
	}
}

func testAdopt(t *testing.T, dev tunnel.Device) {
	want := []tunnel.Config{lane(0, peer(1, "10.1.0.0/16"))}
	before := apply(t, dev, want)
	require.NoError(t, dev.Create(t.Context(), want[0].Name, want[0].MTU))
	after, err := dev.List(t.Context())
	require.NoError(t, err)
	require.Equal(t, before, after, "neither the link nor its peers have changed")
}

func testChangeFields(t *testing.T, dev tunnel.Device) {
	want := []tunnel.Config{lane(0, peer(1, "10.1.0.0/16"))}
	apply(t, dev, want)
	w := &want[0]
	for _, change := range []func(){
		func() { w.ListenPort = 51999 },
		func() { w.Mark = 0x40 },
		func() { w.Mark = 0 },
		func() { w.MTU = 1300 },
		func() { w.Addresses = prefixes("10.9.9.9/32", "fd00:9::9/128") },
		func() { w.Peers[0].Endpoint = netip.MustParseAddrPort("192.0.2.1:51820") },
		func() { w.Peers[0].Endpoint = netip.MustParseAddrPort("[2001:db8::1]:1") },
		func() { w.Peers[0].Keepalive = 25 * time.Second },
		func() { w.Peers[0].Keepalive = 0 },
		func() { w.Peers = nil },
	} {
		change()
		RequireApplied(t, Key(100), want, apply(t, dev, want))
	}
	have, err := tunnel.Apply(t.Context(), dev, Key(101), want, false)
	require.NoError(t, err)
	RequireApplied(t, Key(101), want, have)
}

func testRenew(t *testing.T, dev tunnel.Device) {
	want := []tunnel.Config{lane(0, peer(1, "10.1.0.0/16", "fd00:1::/64"), peer(2, "10.2.0.0/16"))}
	p := &want[0].Peers[0]
	p.Keepalive, p.Endpoint = 25*time.Second, netip.MustParseAddrPort("192.0.2.1:51820")
	apply(t, dev, want)
	for _, endpoint := range []netip.AddrPort{netip.MustParseAddrPort("192.0.2.2:51820"), {}} {
		p.Renew = true
		if endpoint.IsValid() {
			p.Endpoint = endpoint
		}
		have, err := tunnel.Apply(t.Context(), dev, Key(100), want, true)
		require.NoError(t, err)
		p.Renew = false
		RequireApplied(t, Key(100), want, have)
	}
	// It is decided at a count that the peer no longer has.
	p.Renew, p.RenewAt, p.Endpoint = true, 148, netip.MustParseAddrPort("192.0.2.3:51820")
	have, err := tunnel.Apply(t.Context(), dev, Key(100), want, true)
	require.NoError(t, err)
	require.Equal(t, netip.MustParseAddrPort("192.0.2.2:51820"), have[0].Peers[slices.IndexFunc(have[0].Peers, func(o tunnel.ObservedPeer) bool {
		return o.PublicKey == p.PublicKey
	})].Endpoint)
}

func testMovePrefix(t *testing.T, dev tunnel.Device) {
	a, b := Key(1).Public(), Key(2).Public()
	for _, owner := range [][2][]string{
		{{"10.1.0.0/16", "10.3.0.0/16"}, {"10.2.0.0/16"}},
		{{"10.1.0.0/16"}, {"10.2.0.0/16", "10.3.0.0/16"}},
		{{"10.2.0.0/16", "10.3.0.0/16"}, {"10.1.0.0/16"}}, // all at once
	} {
		l := lane(0)
		l.Peers = []tunnel.Peer{{PublicKey: a, AllowedIPs: prefixes(owner[0]...)}, {PublicKey: b, AllowedIPs: prefixes(owner[1]...)}}
		slices.SortFunc(l.Peers, func(a, b tunnel.Peer) int { return a.PublicKey.Compare(b.PublicKey) })
		RequireApplied(t, Key(100), []tunnel.Config{l}, apply(t, dev, []tunnel.Config{l}))
	}
}

func testRemovePrefix(t *testing.T, dev tunnel.Device) {
	apply(t, dev, []tunnel.Config{lane(0, peer(1, "10.1.0.0/16", "10.2.0.0/16", "fd00:1::/64"))})
	want := []tunnel.Config{lane(0, peer(1, "10.2.0.0/16"))}
	RequireApplied(t, Key(100), want, apply(t, dev, want))
	want = []tunnel.Config{lane(0, peer(1))}
	RequireApplied(t, Key(100), want, apply(t, dev, want))
}

func testPrune(t *testing.T, dev tunnel.Device) {
	both := []tunnel.Config{lane(0, peer(1, "10.1.0.0/16")), lane(1, peer(2, "10.1.0.0/16"))}
	apply(t, dev, both)
	have, err := tunnel.Apply(t.Context(), dev, Key(100), both[:1], false)
	require.NoError(t, err)
	RequireApplied(t, Key(100), both, have)
	RequireApplied(t, Key(100), both[:1], apply(t, dev, both[:1]))

	withoutPeers := []tunnel.Config{lane(0)}
	have, err = tunnel.Apply(t.Context(), dev, Key(100), withoutPeers, false)
	require.NoError(t, err)
	RequireApplied(t, Key(100), both[:1], have)
	RequireApplied(t, Key(100), withoutPeers, apply(t, dev, withoutPeers))
	require.Empty(t, apply(t, dev, nil))
}

func testMissing(t *testing.T, dev tunnel.Device) {
	require.NoError(t, dev.Remove(t.Context(), Prefix+"7"))
	require.Error(t, dev.Configure(t.Context(), tunnel.Change{Name: Prefix + "7", Up: true}))
	have, err := dev.List(t.Context())
	require.NoError(t, err)
	require.Empty(t, have)
}

func testRandomWalk(t *testing.T, dev tunnel.Device, steps int) {
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 0))
	for step := range steps {
		want := randomState(r)
		have := apply(t, dev, want)
		ok := t.Run(fmt.Sprintf("step %d", step), func(t *testing.T) {
			RequireApplied(t, Key(100), keepEndpoints(want, have), have)
		})
		require.True(t, ok, "seed %d, want:\n%+v\nhave:\n%s", seed, want, Show(have))
		for i := range want {
			require.True(t, tunnel.Diff(want[i], have[i], Key(100)).Empty())
		}
	}
}

// apply applies want with prune, and then again, which must change nothing.
func apply(t *testing.T, dev tunnel.Device, want []tunnel.Config) []tunnel.Observed {
	t.Helper()
	have, err := tunnel.Apply(t.Context(), dev, Key(100), want, true)
	require.NoError(t, err)
	again, err := tunnel.Apply(t.Context(), dev, Key(100), want, true)
	require.NoError(t, err)
	require.Equal(t, Show(have), Show(again))
	return have
}

// keepEndpoints sets the endpoints that are not in want to the observed ones,
// which Apply keeps.
func keepEndpoints(want []tunnel.Config, have []tunnel.Observed) []tunnel.Config {
	for i := range want {
		for j := range want[i].Peers {
			if p := &want[i].Peers[j]; !p.Endpoint.IsValid() && i < len(have) && j < len(have[i].Peers) {
				p.Endpoint = have[i].Peers[j].Endpoint
			}
		}
	}
	return want
}

// randomState returns up to two lanes with up to five peers that share ten prefixes.
func randomState(r *rand.Rand) []tunnel.Config {
	var out []tunnel.Config
	for n := range uint32(2) {
		if r.IntN(5) == 0 {
			continue
		}
		var peers []tunnel.Peer
		pool := r.Perm(10)
		for k := range byte(5) {
			if r.IntN(3) == 0 {
				continue
			}
			p := peer(k + 1)
			p.Keepalive = time.Duration(r.IntN(3)) * time.Second
			if r.IntN(2) == 0 {
				p.Endpoint = netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, k}), uint16(1+r.IntN(3)))
			}
			for range r.IntN(3) {
				p.AllowedIPs = append(p.AllowedIPs, netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(pool[0]), 0, 0}), 16))
				pool = pool[1:]
			}
			slices.SortFunc(p.AllowedIPs, netip.Prefix.Compare)
			peers = append(peers, p)
		}
		l := lane(n, peers...)
		l.MTU = 1280 + r.IntN(3)
		l.Mark = uint32(r.IntN(2)) * 0x20
		out = append(out, l)
	}
	return out
}

func lane(n uint32, peers ...tunnel.Peer) tunnel.Config {
	slices.SortFunc(peers, func(a, b tunnel.Peer) int { return a.PublicKey.Compare(b.PublicKey) })
	return tunnel.Config{
		Name: fmt.Sprintf("%s%d", Prefix, n), Lane: n, ListenPort: uint16(51820 + n), Mark: 0x20, MTU: 1380,
		Addresses: prefixes("127.77.87.1/32", "fd00:100::1/128"), Peers: peers,
	}
}

func peer(n byte, allowed ...string) tunnel.Peer {
	return tunnel.Peer{PublicKey: Key(n).Public(), AllowedIPs: prefixes(allowed...)}
}

func prefixes(texts ...string) []netip.Prefix {
	var out []netip.Prefix
	for _, s := range texts {
		out = append(out, netip.MustParsePrefix(s))
	}
	slices.SortFunc(out, netip.Prefix.Compare)
	return out
}
