package tunnel_test

import (
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/tunnel"
	"github.com/meshway/meshway/tunnel/tunneltest"
)

var (
	self  = tunneltest.Key(100)
	peerA = tunneltest.Key(1).Public() // sorts before peerB
	peerB = tunneltest.Key(2).Public()
)

func TestDiffContainsOnlyDifferences(t *testing.T) {
	base := func() tunnel.Config {
		return tunnel.Config{
			Name: "mesh0", ListenPort: 51820, Mark: 0x20, MTU: 1420, Addresses: prefixes("fd00::1/128"),
			Peers: []tunnel.Peer{
				{PublicKey: peerA, AllowedIPs: prefixes("10.1.0.0/16", "10.2.0.0/16"), Endpoint: endpoint("192.0.2.1:51820")},
				{PublicKey: peerB, AllowedIPs: prefixes("10.3.0.0/16")},
			},
		}
	}
	require.Negative(t, peerA.Compare(peerB))
	for _, tt := range []struct {
		name   string
		change func(want *tunnel.Config, have *tunnel.Observed)
		golden string
	}{
		{"nothing", func(*tunnel.Config, *tunnel.Observed) {}, "nothing"},
		{"key", func(_ *tunnel.Config, h *tunnel.Observed) { h.PublicKey = tunnel.PublicKey{} }, "private-key (redacted)"},
		{
			"port, mark, mtu", func(_ *tunnel.Config, h *tunnel.Observed) { h.ListenPort, h.Mark, h.MTU = 1, 0, 1500 },
			"listen-port 51820, fwmark 0x20, mtu 1420",
		},
		{"any port and mtu", func(w *tunnel.Config, _ *tunnel.Observed) { w.ListenPort, w.MTU = 0, 0 }, "nothing"},
		{"down", func(_ *tunnel.Config, h *tunnel.Observed) { h.Up = false }, "up"},
		{
			"address", func(w *tunnel.Config, _ *tunnel.Observed) { w.Addresses = prefixes("fd00::2/128") },
			"+address fd00::2/128, -address fd00::1/128",
		},
		{"peer gone", func(w *tunnel.Config, _ *tunnel.Observed) { w.Peers = w.Peers[:1] }, "-peer " + peerB.String()},
		{
			"peer new", func(_ *tunnel.Config, h *tunnel.Observed) { h.Peers = h.Peers[:1] },
			"+peer " + peerB.String() + " +10.3.0.0/16",
		},
		{
			"prefix removed", func(w *tunnel.Config, _ *tunnel.Observed) { w.Peers[0].AllowedIPs = prefixes("10.1.0.0/16") },
			"~peer " + peerA.String() + " -10.2.0.0/16",
		},
		{"prefix moves: the addition takes it", func(w *tunnel.Config, _ *tunnel.Observed) {
			w.Peers[0].AllowedIPs = prefixes("10.1.0.0/16")
			w.Peers[1].AllowedIPs = prefixes("10.2.0.0/16", "10.3.0.0/16")
		}, "~peer " + peerB.String() + " +10.2.0.0/16"},
		{"prefix moves from a removed peer", func(w *tunnel.Config, _ *tunnel.Observed) {
			w.Peers = w.Peers[:1]
			w.Peers[0].AllowedIPs = append(w.Peers[0].AllowedIPs, prefixes("10.3.0.0/16")...)
		}, "~peer " + peerA.String() + " +10.3.0.0/16, -peer " + peerB.String()},
		{
			"endpoint", func(w *tunnel.Config, _ *tunnel.Observed) { w.Peers[0].Endpoint = endpoint("192.0.2.9:1") },
			"~peer " + peerA.String() + " endpoint 192.0.2.9:1",
		},
		{
			"renewed", func(w *tunnel.Config, h *tunnel.Observed) {
				w.Peers[1].Renew, w.Peers[1].RenewAt, h.Peers[1].ReceivedBytes = true, 148, 148
			},
			"-+peer " + peerB.String() + " +10.3.0.0/16",
		},
		{"not renewed: a packet has arrived since", func(w *tunnel.Config, h *tunnel.Observed) {
			w.Peers[0].Renew, w.Peers[0].RenewAt, h.Peers[0].ReceivedBytes = true, 148, 296
			w.Peers[0].Endpoint = endpoint("192.0.2.9:1")
		}, "nothing"},
		{"endpoint unknown: the learnt one is kept", func(w *tunnel.Config, _ *tunnel.Observed) { w.Peers[0].Endpoint = netip.AddrPort{} }, "nothing"},
		{"endpoint mapped into IPv6 is the same", func(w *tunnel.Config, _ *tunnel.Observed) { w.Peers[0].Endpoint = endpoint("[::ffff:192.0.2.1]:51820") }, "nothing"},
		{"keepalive", func(w *tunnel.Config, _ *tunnel.Observed) { w.Peers[0].Keepalive = 25 * time.Second }, "~peer " + peerA.String() + " keepalive 25s"},
		{"keepalive below a second is none", func(w *tunnel.Config, _ *tunnel.Observed) { w.Peers[0].Keepalive = time.Millisecond }, "nothing"},
		{"prefix with host bits is the network", func(w *tunnel.Config, _ *tunnel.Observed) { w.Peers[1].AllowedIPs = prefixes("10.3.4.5/16") }, "nothing"},
		{"own key as peer is left out", func(w *tunnel.Config, _ *tunnel.Observed) {
			w.Peers = append(w.Peers, tunnel.Peer{PublicKey: self.Public()})
		}, "nothing"},
		{"peer without key is left out", func(w *tunnel.Config, _ *tunnel.Observed) { w.Peers = append(w.Peers, tunnel.Peer{}) }, "nothing"},
		{"a prefix of two peers belongs to the first", func(w *tunnel.Config, _ *tunnel.Observed) {
			w.Peers[1].AllowedIPs = append(w.Peers[1].AllowedIPs, prefixes("10.1.0.0/16")...)
		}, "nothing"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			want, have := base(), observed(base())
			tt.change(&want, &have)
			change := tunnel.Diff(want, have, self)
			require.Equal(t, "mesh0: "+tt.golden, change.String())
			require.Equal(t, tt.golden == "nothing", change.Empty())
		})
	}
}

// observed returns the interface that results from applying c.
func observed(c tunnel.Config) tunnel.Observed {
	o := tunnel.Observed{Config: c, PublicKey: self.Public(), Up: true, Index: 1, Dataplane: "kernel"}
	o.Config.Peers = nil
	for _, p := range c.Peers {
		o.Peers = append(o.Peers, tunnel.ObservedPeer{Peer: p})
	}
	return o
}

func prefixes(texts ...string) []netip.Prefix {
	var out []netip.Prefix
	for _, s := range texts {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

func endpoint(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }

func TestSameConfigIgnoresOnlyWhatWireGuardChanges(t *testing.T) {
	observed := func(change func(*tunnel.Observed)) []tunnel.Observed {
		o := tunnel.Observed{
			Config: tunnel.Config{Name: "mesh0", ListenPort: 51820, Mark: 0x20, MTU: 1420, Addresses: []netip.Prefix{netip.MustParsePrefix("fd77::1/128")}},
			Up:     true,
			Peers: []tunnel.ObservedPeer{{Peer: tunnel.Peer{
				PublicKey: tunnel.PublicKey{2}, Keepalive: time.Second, AllowedIPs: []netip.Prefix{netip.MustParsePrefix("10.2.0.0/16")},
			}}},
		}
		change(&o)
		return []tunnel.Observed{o}
	}
	before := observed(func(*tunnel.Observed) {})
	assert.True(t, tunnel.SameConfig(before, observed(func(o *tunnel.Observed) {
		o.Peers[0].Endpoint, o.Peers[0].ReceivedBytes, o.Peers[0].LastHandshake = netip.MustParseAddrPort("192.0.2.2:1024"), 1, time.Unix(1, 0)
	})))
	for name, change := range map[string]func(*tunnel.Observed){
		"key":       func(o *tunnel.Observed) { o.PublicKey = tunnel.PublicKey{9} },
		"port":      func(o *tunnel.Observed) { o.ListenPort = 40000 },
		"mark":      func(o *tunnel.Observed) { o.Mark = 0 },
		"MTU":       func(o *tunnel.Observed) { o.MTU = 9000 },
		"address":   func(o *tunnel.Observed) { o.Addresses = nil },
		"state":     func(o *tunnel.Observed) { o.Up = false },
		"interface": func(o *tunnel.Observed) { o.Index = 7 },
		"error":     func(o *tunnel.Observed) { o.Err = errors.New("no answer") },
		"peers":     func(o *tunnel.Observed) { o.Peers = nil },
		"peer":      func(o *tunnel.Observed) { o.Peers[0].PublicKey = tunnel.PublicKey{9} },
		"keepalive": func(o *tunnel.Observed) { o.Peers[0].Keepalive = 0 },
		"prefix":    func(o *tunnel.Observed) { o.Peers[0].AllowedIPs = nil },
	} {
		assert.False(t, tunnel.SameConfig(before, observed(change)), name)
	}
	assert.False(t, tunnel.SameConfig(before, nil))
}
