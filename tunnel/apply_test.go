package tunnel_test

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/tunnel"
	"github.com/meshway/meshway/tunnel/tunneltest"
)

func TestApplyWithoutDifferencesOnlyLists(t *testing.T) {
	dev := tunneltest.NewFake()
	want := []tunnel.Config{lane("mesh0", 1), lane("mesh1", 2)}
	_, err := tunnel.Apply(t.Context(), dev, self, want, true)
	require.NoError(t, err)
	creates, configures, lists := dev.Calls(tunneltest.OpCreate), dev.Calls(tunneltest.OpConfigure), dev.Calls(tunneltest.OpList)
	_, err = tunnel.Apply(t.Context(), dev, self, want, true)
	require.NoError(t, err)
	require.Equal(t, creates, dev.Calls(tunneltest.OpCreate))
	require.Equal(t, configures, dev.Calls(tunneltest.OpConfigure))
	require.Zero(t, dev.Calls(tunneltest.OpRemove))
	require.Equal(t, lists+1, dev.Calls(tunneltest.OpList))
}

func TestApplyReturnsTheRealStateAfterAPartialFailure(t *testing.T) {
	dev := tunneltest.NewFake()
	broken := errors.New("device is busy")
	dev.Fail(func(op, name string) error {
		if op == tunneltest.OpConfigure && name == "mesh0" {
			return broken
		}
		return nil
	})
	want := []tunnel.Config{lane("mesh0", 1), lane("mesh1", 2)}
	have, err := tunnel.Apply(t.Context(), dev, self, want, true)
	require.ErrorIs(t, err, broken)
	require.ErrorContains(t, err, "configure mesh0")
	require.Len(t, have, 2)
	require.False(t, have[0].Up, "mesh0 is reported as only half configured")
	require.Equal(t, self.Public(), have[0].PublicKey)
	tunneltest.RequireApplied(t, self, want[1:], have[1:])

	dev.Fail(nil)
	have, err = tunnel.Apply(t.Context(), dev, self, want, true)
	require.NoError(t, err)
	tunneltest.RequireApplied(t, self, want, have)
}

func TestApplyReportsEveryBadInterface(t *testing.T) {
	dev := tunneltest.NewFake()
	dev.AddForeign("mesh0")
	dev.AddForeign("mesh1")
	have, err := tunnel.Apply(t.Context(), dev, self, []tunnel.Config{lane("mesh0", 1), lane("mesh1", 2), lane("mesh2", 3)}, true)
	require.ErrorContains(t, err, "mesh0")
	require.ErrorContains(t, err, "mesh1")
	require.Len(t, have, 1)
	require.Equal(t, "mesh2", have[0].Name)
}

func TestApplyDoesNotConfigureAnUnreadableInterface(t *testing.T) {
	dev := tunneltest.NewFake()
	want := []tunnel.Config{lane("mesh0", 1)}
	_, err := tunnel.Apply(t.Context(), dev, self, want, true)
	require.NoError(t, err)
	configures := dev.Calls(tunneltest.OpConfigure)
	dev.Break("mesh0", errors.New("no answer"))
	want[0].MTU = 1300
	have, err := tunnel.Apply(t.Context(), dev, self, want, true)
	require.ErrorContains(t, err, "no answer")
	require.Error(t, have[0].Err)
	require.Equal(t, configures, dev.Calls(tunneltest.OpConfigure))
}

func TestApplyRecreatesALostInterface(t *testing.T) {
	dev := tunneltest.NewFake()
	want := []tunnel.Config{lane("mesh0", 1)}
	_, err := tunnel.Apply(t.Context(), dev, self, want, true)
	require.NoError(t, err)
	dev.Disappear("mesh0")
	have, err := tunnel.Apply(t.Context(), dev, self, want, true)
	require.NoError(t, err)
	tunneltest.RequireApplied(t, self, want, have)
}

func TestApplyWithoutPrivateKeyFails(t *testing.T) {
	dev := tunneltest.NewFake()
	_, err := tunnel.Apply(t.Context(), dev, tunnel.PrivateKey{}, []tunnel.Config{lane("mesh0", 1)}, true)
	require.ErrorContains(t, err, "no private key")
	require.Zero(t, dev.Calls(tunneltest.OpList))
}

// To keep a roamed endpoint, a planner puts the observed one into its
// configuration. The session must then not be changed.
func TestApplyKeepsADesiredRoamedEndpoint(t *testing.T) {
	dev := tunneltest.NewFake()
	want := []tunnel.Config{lane("mesh0", 1)}
	_, err := tunnel.Apply(t.Context(), dev, self, want, true)
	require.NoError(t, err)
	at := time.Unix(1000, 0)
	dev.Handshake("mesh0", want[0].Peers[0].PublicKey, endpoint("203.0.113.9:4000"), at, 148)
	want[0].Peers[0].Endpoint = endpoint("203.0.113.9:4000")
	configures := dev.Calls(tunneltest.OpConfigure)
	have, err := tunnel.Apply(t.Context(), dev, self, want, true)
	require.NoError(t, err)
	require.Equal(t, configures, dev.Calls(tunneltest.OpConfigure))
	require.Equal(t, at, have[0].Peers[0].LastHandshake)
}

func TestFakeRefusesInvalidChanges(t *testing.T) {
	dev := tunneltest.NewFake()
	require.NoError(t, dev.Create(t.Context(), "mesh0", 1420))
	for name, c := range map[string]tunnel.Change{
		"nothing":         {Name: "mesh0"},
		"no interface":    {Name: "mesh9", Up: true},
		"unknown peer":    {Name: "mesh0", Peers: []tunnel.PeerChange{{PublicKey: peerA}}},
		"remove unknown":  {Name: "mesh0", RemovePeers: []tunnel.PublicKey{peerA}},
		"missing prefix":  {Name: "mesh0", Peers: []tunnel.PeerChange{{PublicKey: peerA, Add: true, RemoveAllowedIPs: prefixes("10.0.0.0/8")}}},
		"missing address": {Name: "mesh0", RemoveAddresses: prefixes("fd00::9/128")},
	} {
		require.Error(t, dev.Configure(t.Context(), c), name)
	}
}

func lane(name string, peer byte) tunnel.Config {
	n := uint32(name[len(name)-1] - '0')
	return tunnel.Config{
		Name: name, Lane: n, ListenPort: uint16(51820 + n), Mark: 0x20, MTU: 1420, Addresses: prefixes("fd00::1/128"),
		Peers: []tunnel.Peer{{PublicKey: tunneltest.Key(peer).Public(), Endpoint: endpoint("192.0.2.1:51820"), AllowedIPs: prefixes("10.1.0.0/16")}},
	}
}
