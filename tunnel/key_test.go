package tunnel_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/tunnel"
)

// The test vector is Alice's key in RFC 7748 section 6.1.
func TestPublicKeyMatchesRFC7748(t *testing.T) {
	key, err := tunnel.ParsePrivateKey("dwdtCnMYpX08FsFyUbJmRd9ML4frwJkqsXf7pR25LCo=")
	require.NoError(t, err)
	require.Equal(t, "hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo=", key.Public().String())
	require.Zero(t, tunnel.PrivateKey{}.Public(), "the zero key has the zero public key")
}

func TestNewPrivateKeyIsClampedAndFresh(t *testing.T) {
	a, err := tunnel.NewPrivateKey()
	require.NoError(t, err)
	b, err := tunnel.NewPrivateKey()
	require.NoError(t, err)
	require.NotEqual(t, a.Secret(), b.Secret())
	require.Zero(t, a.Bytes()[0]&7)
	require.EqualValues(t, 64, a.Bytes()[31]&192)
}

func TestMalformedKeysAreRefused(t *testing.T) {
	for _, s := range []string{"", "x", "AAAA", "not base64 at all", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"} {
		_, err := tunnel.ParsePublicKey(s)
		require.Error(t, err, s)
	}
}

func TestPublicKeyRoundTripsAsText(t *testing.T) {
	key, err := tunnel.NewPrivateKey()
	require.NoError(t, err)
	raw, err := json.Marshal(key.Public())
	require.NoError(t, err)
	var back tunnel.PublicKey
	require.NoError(t, json.Unmarshal(raw, &back))
	require.Equal(t, key.Public(), back)
}
