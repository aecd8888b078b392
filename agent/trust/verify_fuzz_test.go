package trust_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/agent/trust"
)

// FuzzVerify changes a certificate, a statement and its signature. They are files: keys
// that each process of the fuzzer generates would verify no input of another one, and
// make the coverage of all inputs random.
func FuzzVerify(f *testing.F) {
	read := func(name string) []byte {
		data, err := os.ReadFile(filepath.Join("testdata", name))
		require.NoError(f, err)
		return data
	}
	ca, signed, value := read("ca.der"), read("certificate.der"), read("signature.der")
	const statement = "a statement"
	f.Add(signed, []byte(statement), value)
	f.Add(signed, []byte("another one"), value)
	f.Add(ca, []byte(statement), value)
	f.Add([]byte{}, []byte{}, []byte{0x30, 0})
	signers := trust.NewSigners("123e4567-e89b-12d3-a456-426614174000")
	peer, err := signers.Verify(ca, signed, []byte(statement), value)
	require.NoError(f, err)
	f.Fuzz(func(t *testing.T, certificate, content, value []byte) {
		got, err := trust.NewSigners("123e4567-e89b-12d3-a456-426614174000").Verify(ca, certificate, content, value)
		if err != nil {
			return
		}
		require.Equal(t, peer, got)
		require.Equal(t, signed, certificate, "the CA did not issue the certificate")
		require.Equal(t, statement, string(content), "the gateway did not sign the statement")
	})
}
