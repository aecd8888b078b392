package identity

import (
	"crypto/x509"
	"testing"

	"github.com/stretchr/testify/require"
)

// FuzzSuccession checks that no certificate that a caller adds to its chain makes a
// member trust a CA that the known one has not signed, and that none causes a panic.
func FuzzSuccession(f *testing.F) {
	first, second, thief := newTestCA(f, "east"), newTestCA(f, "east"), newTestCA(f, "east")
	good, err := first.Succeed(second, federationID, noon)
	require.NoError(f, err)
	forged, err := thief.Succeed(thief, federationID, noon)
	require.NoError(f, err)
	leaf := issued(f, thief, federationID)
	for _, der := range [][]byte{good, forged, first.Certificate(), thief.Certificate(), {}} {
		f.Add(der)
	}
	f.Fuzz(func(t *testing.T, der []byte) {
		certificate, err := x509.ParseCertificate(der)
		if err != nil {
			return
		}
		chain := append(leaf[:2:2], certificate, first.certificate)
		_, err = VerifyMember(chain, federationID, catalogOf(first), noon)
		require.Error(t, err)
		_, err = VerifyPinned(chain, first.Pin(), federationID, noon)
		require.Error(t, err)
	})
}
