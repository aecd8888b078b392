package identity

import (
	"bytes"
	"crypto/x509"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/succession"
)

// rotated returns a datacenter whose CA was replaced by one after the other.
func rotated(t testing.TB, cas ...*CA) catalog.Datacenter {
	t.Helper()
	dc := catalog.Datacenter{Name: "east", CACertificate: cas[0].Certificate()}
	for i, next := range cas[1:] {
		certificate, err := cas[i].Succeed(next, federationID, noon)
		require.NoError(t, err)
		dc = succession.With(succession.Retire(dc), next.Certificate(), certificate)
	}
	return dc
}

func TestPinFollowsOnlyWhatTheFormerCASigned(t *testing.T) {
	first, second, third, thief := newTestCA(t, "east"), newTestCA(t, "east"), newTestCA(t, "east"), newTestCA(t, "east")
	good := rotated(t, first, second, third)
	former, err := Follow(first.Pin(), federationID, good)
	require.NoError(t, err)
	assert.Equal(t, second.Certificate(), former)
	former, err = Follow(third.Pin(), federationID, succession.Retire(good))
	require.NoError(t, err)
	assert.Nil(t, former, "it is retired")

	stolen := good.Clone()
	stolen.CACertificate = thief.Certificate()
	unsigned := good.Clone()
	certificate, err := thief.Succeed(third, federationID, noon)
	require.NoError(t, err)
	unsigned.Successions[1].Certificate = certificate
	elsewhere := good.Clone()
	elsewhere.Name = "west"
	for name, test := range map[string]struct {
		pin        Pin
		federation string
		dc         catalog.Datacenter
	}{
		"a CA that was not announced":          {first.Pin(), federationID, stolen},
		"a succession that another CA signed":  {first.Pin(), federationID, unsigned},
		"back to the first CA":                 {third.Pin(), federationID, rotated(t, first)},
		"back by a replay of the succession":   {third.Pin(), federationID, rotated(t, first, second)},
		"a CA of another datacenter":           {first.Pin(), federationID, elsewhere},
		"a succession in another federation":   {first.Pin(), "other", good},
		"a pin that is not in the successions": {thief.Pin(), federationID, good},
	} {
		_, err := Follow(test.pin, test.federation, test.dc)
		assert.Error(t, err, name)
	}
}

// chainWith returns the certificates that a gateway of ca presents.
func chainWith(t testing.TB, ca *CA, dc catalog.Datacenter) []*x509.Certificate {
	t.Helper()
	certifier := NewCertifier(ca, "gw1", nil)
	certifier.SetFederation(federationID)
	certifier.Use(ca, Chain(dc))
	certificate, err := certifier.Certificate()
	require.NoError(t, err)
	return chainOf(t, certificate)
}

func TestPeerThatKnowsTheFormerCAAcceptsTheOneThatFollows(t *testing.T) {
	first, second, third, thief := newTestCA(t, "east"), newTestCA(t, "east"), newTestCA(t, "east"), newTestCA(t, "east")
	chain := chainWith(t, third, rotated(t, first, second, third))
	now := chain[0].NotBefore
	for _, known := range []*CA{first, second, third} {
		peer, err := VerifyMember(chain, federationID, catalogOf(known), now)
		require.NoError(t, err)
		assert.Equal(t, Peer{Datacenter: "east", Gateway: "gw1"}, peer)
		_, err = VerifyPinned(chain, known.Pin(), federationID, now)
		require.NoError(t, err, "a token of before")
	}
	_, err := VerifyMember(chain, federationID, catalogOf(thief), now)
	require.ErrorIs(t, err, ErrNotMember)
	_, err = VerifyMember(issued(t, first, federationID), federationID, catalogOf(third), noon)
	require.ErrorIs(t, err, ErrNotMember, "the former CA is retired")
	_, err = VerifyMember(issued(t, first, federationID), federationID, catalogOf(third, first), noon)
	require.NoError(t, err, "it is not yet")

	forged := chainWith(t, thief, rotated(t, first, second, third))
	_, err = VerifyMember(forged, federationID, catalogOf(first), now)
	require.ErrorIs(t, err, ErrNotMember, "the successions of others")
	long := slices.Concat(chain, chain)
	_, err = VerifyMember(long, federationID, catalogOf(first), now)
	require.ErrorIs(t, err, ErrNotMember, "more certificates than a gateway presents")
}

// A crash may interrupt the replacement after each file.
func TestReplacedCASurvivesACrashAtEachStep(t *testing.T) {
	for _, crash := range []string{
		"", "before the key", "before the certificate", "before the prepared files are removed", "before the prepared key is removed",
	} {
		t.Run(crash, func(t *testing.T) {
			s := openStore(t, t.TempDir())
			ca, err := s.CA("east", noon)
			require.NoError(t, err)
			next := newTestCA(t, "east")
			require.NoError(t, s.SaveNextCA(next))
			stored, err := s.NextCA("east")
			require.NoError(t, err)
			require.True(t, stored.Equal(next))
			key, err := encodeKey(next.key.Reveal())
			require.NoError(t, err)
			switch crash {
			case "before the key":
				require.NoError(t, s.removeFile(caCertificateFile))
			case "before the certificate":
				require.NoError(t, s.removeFile(caCertificateFile))
				require.NoError(t, s.write(caKeyFile, key))
			case "before the prepared files are removed":
				require.NoError(t, s.writeCA(next))
			case "before the prepared key is removed":
				require.NoError(t, s.writeCA(next))
				require.NoError(t, s.removeFile(nextCertFile))
			}
			started, err := s.CA("east", noon)
			require.NoError(t, err)
			assert.Contains(t, []Pin{ca.Pin(), next.Pin()}, started.Pin())
			again, err := s.NextCA("east")
			require.NoError(t, err)
			if again != nil {
				require.NoError(t, s.RemoveUsedCA(ca))
				assert.FileExists(t, s.path(nextKeyFile), "it is not in use")
				require.NoError(t, s.ReplaceCA(again))
			}
			require.NoError(t, s.RemoveUsedCA(next))
			assert.NoFileExists(t, s.path(nextKeyFile))
			after, err := s.CA("east", noon)
			require.NoError(t, err)
			assert.True(t, bytes.Equal(next.Certificate(), after.Certificate()))
			left, err := s.NextCA("east")
			require.NoError(t, err)
			assert.Nil(t, left)
		})
	}
}
