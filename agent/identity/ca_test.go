package identity

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestSecondGatewayAdoptsTheSharedCA(t *testing.T) {
	_, first, _ := usedStore(t)
	certificate, key, err := first.Encode()
	require.NoError(t, err)
	shared, err := DecodeCA("east", certificate, key)
	require.NoError(t, err)

	second := openStore(t, filepath.Join(t.TempDir(), "second"))
	own, err := second.CA("east", noon)
	require.NoError(t, err)
	require.False(t, own.Equal(shared))
	require.NoError(t, second.AdoptCA(shared))
	require.NoError(t, second.AdoptCA(shared), "repeating it changes nothing")
	ca, err := second.CA("east", noon)
	require.NoError(t, err)
	assert.Equal(t, first.Certificate(), ca.Certificate())
	issued, err := ca.Issue("gw2", federationID, noon)
	require.NoError(t, err)
	peer, err := VerifyPossession(chainOf(t, issued), first.Certificate(), federationID, noon)
	require.NoError(t, err)
	assert.Equal(t, "east/gw2", peer.String())
}

func TestUnsuitableSharedCAIsRefused(t *testing.T) {
	member, ca, _ := usedStore(t)
	other, err := NewCA("east", noon)
	require.NoError(t, err)
	require.ErrorContains(t, member.AdoptCA(other), "meshctl leave")
	kept, err := member.CA("east", noon)
	require.NoError(t, err)
	assert.True(t, kept.Equal(ca), "a refusal changes nothing")

	certificate, key, err := ca.Encode()
	require.NoError(t, err)
	_, foreign, err := other.Encode()
	require.NoError(t, err)
	_, err = DecodeCA("east", certificate, foreign)
	require.ErrorContains(t, err, "belong together")
	_, err = DecodeCA("west", certificate, key)
	require.ErrorContains(t, err, `"east"`)
	_, err = DecodeCA("east", certificate, CAKeyOf([]byte("secret text")))
	require.Error(t, err)
	assert.NotContains(t, fmt.Sprint(err), "secret text")
}

func TestInterruptedAdoptionCanBeRepeated(t *testing.T) {
	shared, err := NewCA("east", noon)
	require.NoError(t, err)
	s := openStore(t, filepath.Join(t.TempDir(), "cut"))
	_, err = s.CA("east", noon)
	require.NoError(t, err)
	require.NoError(t, s.root.Remove(caCertificateFile))
	text, err := encodeKey(shared.key.Reveal())
	require.NoError(t, err)
	require.NoError(t, s.write(caKeyFile, text)) // here the host crashed
	_, err = s.CA("east", noon)
	require.NoError(t, err)
	require.NoError(t, s.AdoptCA(shared))
	ca, err := s.CA("east", noon)
	require.NoError(t, err)
	assert.True(t, ca.Equal(shared))
}
