package identity

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net/url"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/tunnel/secret"
)

const federationID = "0b5bcf6e-6f2d-4c8c-9a56-0a3c6a1f0d11"

func newTestCA(t testing.TB, dc catalog.DatacenterName) *CA {
	t.Helper()
	ca, err := NewCA(dc, noon)
	require.NoError(t, err)
	return ca
}

func chainOf(t testing.TB, c *tls.Certificate) []*x509.Certificate {
	t.Helper()
	var chain []*x509.Certificate
	for _, der := range c.Certificate {
		parsed, err := x509.ParseCertificate(der)
		require.NoError(t, err)
		chain = append(chain, parsed)
	}
	return chain
}

func issued(t testing.TB, ca *CA, federation string) []*x509.Certificate {
	t.Helper()
	c, err := ca.Issue("gw1", federation, noon)
	require.NoError(t, err)
	return chainOf(t, c)
}

// forged returns a chain whose certificate the CA signed after change altered it.
func forged(t testing.TB, ca *CA, change func(*x509.Certificate)) []*x509.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(7), NotBefore: noon.Add(-time.Hour), NotAfter: noon.Add(time.Hour),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		URIs:        []*url.URL{Peer{Datacenter: "east", Gateway: "gw1"}.uri(federationID)},
	}
	change(template)
	der, err := x509.CreateCertificate(rand.Reader, template, ca.certificate, key.Public(), ca.key.Reveal())
	require.NoError(t, err)
	leaf, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	return []*x509.Certificate{leaf, ca.certificate}
}

func catalogOf(cas ...*CA) CAs {
	return func(dc catalog.DatacenterName) [][]byte {
		var trusted [][]byte
		for _, ca := range cas {
			if ca.Datacenter() == dc {
				trusted = append(trusted, ca.Certificate())
			}
		}
		return trusted
	}
}

func TestVerifyMemberReturnsTheGateway(t *testing.T) {
	east, west := newTestCA(t, "east"), newTestCA(t, "west")
	peer, err := VerifyMember(issued(t, east, federationID), federationID, catalogOf(east, west), noon)
	require.NoError(t, err)
	assert.Equal(t, Peer{Datacenter: "east", Gateway: "gw1"}, peer)
	assert.Equal(t, catalog.GatewayID("east/gw1"), peer.ID())
	parsed, err := ParsePeer(peer.ID())
	require.NoError(t, err)
	assert.Equal(t, peer, parsed)
}

func TestCertificateWithoutMembershipIsRefused(t *testing.T) {
	east, west, foreign := newTestCA(t, "east"), newTestCA(t, "west"), newTestCA(t, "east")
	uri := func(text string) func(*x509.Certificate) {
		parsed, err := url.Parse(text)
		require.NoError(t, err)
		return func(c *x509.Certificate) { c.URIs = []*url.URL{parsed} }
	}
	id := "spiffe://" + federationID
	tests := map[string]struct {
		chain []*x509.Certificate
		at    time.Time
		is    error
		want  string
	}{
		"no certificate":            {chain: nil, want: "no certificate"},
		"datacenter not in catalog": {chain: issued(t, newTestCA(t, "north"), federationID), is: ErrNotMember},
		"CA of the same name":       {chain: issued(t, foreign, federationID), is: ErrNotMember, want: "unknown authority"},
		"other federation":          {chain: issued(t, east, "another"), is: ErrOtherFederation},
		"CA of another datacenter":  {chain: forged(t, west, uri(id+"/dc/east/gateway/gw1")), want: "unknown authority"},
		"expired":                   {chain: issued(t, east, federationID), at: noon.Add(24*time.Hour + time.Second), want: "compare the clocks"},
		"not valid yet":             {chain: issued(t, east, federationID), at: noon.Add(-6 * time.Minute), want: "compare the clocks"},
		"the CA's own certificate":  {chain: []*x509.Certificate{east.certificate}, want: "exactly one URI"},
		"no client authentication":  {chain: forged(t, east, func(c *x509.Certificate) { c.ExtKeyUsage = c.ExtKeyUsage[:1] }), want: "both client and server"},
		"no server authentication":  {chain: forged(t, east, func(c *x509.Certificate) { c.ExtKeyUsage = c.ExtKeyUsage[1:] }), want: "both client and server"},
		"two URIs":                  {chain: forged(t, east, func(c *x509.Certificate) { c.URIs = append(c.URIs, c.URIs[0]) }), want: "exactly one URI"},
		"a DNS name":                {chain: forged(t, east, func(c *x509.Certificate) { c.DNSNames = []string{"x"} }), want: "exactly one URI"},
		"certificate of a CA":       {chain: forged(t, east, func(c *x509.Certificate) { c.IsCA, c.BasicConstraintsValid = true, true }), want: "verify east/gw1"},
		"other scheme":              {chain: forged(t, east, uri("https://"+federationID+"/dc/east/gateway/gw1")), want: "not the identity"},
		"longer path":               {chain: forged(t, east, uri(id+"/dc/east/gateway/gw1/x")), want: "not the identity"},
		"slash at the end":          {chain: forged(t, east, uri(id+"/dc/east/gateway/gw1/")), want: "not the identity"},
		"escaped slash":             {chain: forged(t, east, uri(id+"/dc/east/gateway/gw1%2fx")), want: "not the identity"},
		"escaped letter":            {chain: forged(t, east, uri(id+"/dc/east/gateway/%67w1")), want: "not the identity"},
		"query":                     {chain: forged(t, east, uri(id+"/dc/east/gateway/gw1?x")), want: "not the identity"},
		"port":                      {chain: forged(t, east, uri(id+":1/dc/east/gateway/gw1")), want: "not the identity"},
		"capital":                   {chain: forged(t, east, uri(id+"/dc/East/gateway/gw1")), want: "not the identity"},
		"no gateway":                {chain: forged(t, east, uri(id+"/dc/east/gateway/")), want: "not the identity"},
		"intermediate certificate":  {chain: deepChain(t, east), want: "unknown authority"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			at := test.at
			if at.IsZero() {
				at = noon
			}
			_, err := VerifyMember(test.chain, federationID, catalogOf(east, west), at)
			require.Error(t, err)
			if test.is != nil {
				assert.ErrorIs(t, err, test.is)
			}
			assert.ErrorContains(t, err, test.want)
		})
	}
}

// deepChain returns a gateway's certificate signed by a CA that the CA of a
// datacenter signed.
func deepChain(t testing.TB, ca *CA) []*x509.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(9), Subject: pkix.Name{CommonName: "east"}, NotBefore: noon.Add(-time.Hour), NotAfter: noon.Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, ca.certificate, key.Public(), ca.key.Reveal())
	require.NoError(t, err)
	middle, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	leaf, err := (&CA{certificate: middle, key: secret.Of[crypto.Signer](key)}).Issue("gw1", federationID, noon)
	require.NoError(t, err)
	return append(chainOf(t, leaf), ca.certificate)
}

func TestVerifyPinnedRequiresThePinnedCA(t *testing.T) {
	east, other := newTestCA(t, "east"), newTestCA(t, "east")
	chain := issued(t, east, federationID)
	peer, err := VerifyPinned(chain, east.Pin(), federationID, noon)
	require.NoError(t, err)
	assert.Equal(t, catalog.DatacenterName("east"), peer.Datacenter)
	pin, err := PinOf(east.Certificate())
	require.NoError(t, err)
	assert.Equal(t, east.Pin(), pin)

	_, err = VerifyPinned(chain, other.Pin(), federationID, noon)
	require.ErrorIs(t, err, ErrPin)
	_, err = VerifyPinned(chain[:1], east.Pin(), federationID, noon)
	require.ErrorIs(t, err, ErrPin, "the chain lacks the certificate of the CA")
	_, err = VerifyPinned(chain, east.Pin(), "another", noon)
	require.ErrorIs(t, err, ErrOtherFederation)

	// The chain has the pinned CA, but another CA signed the certificate.
	stolen := []*x509.Certificate{issued(t, other, federationID)[0], east.certificate}
	_, err = VerifyPinned(stolen, east.Pin(), federationID, noon)
	require.ErrorContains(t, err, "unknown authority")
}

func TestUnsuitableCACertificateIsRefused(t *testing.T) {
	east := newTestCA(t, "east")
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	withRSA := *east.certificate
	withRSA.SignatureAlgorithm, withRSA.PublicKey = x509.SHA256WithRSA, nil
	rsaDER, err := x509.CreateCertificate(rand.Reader, &withRSA, &withRSA, rsaKey.Public(), rsaKey)
	require.NoError(t, err)
	tests := map[string]struct {
		der  []byte
		want string
	}{
		"empty":           {nil, "parse CA certificate"},
		"garbage":         {[]byte("garbage"), "parse CA certificate"},
		"a gateway's":     {issued(t, east, federationID)[0].Raw, "does not permit signing"},
		"too large":       {make([]byte, maxCASize+1), "exceed the maximum"},
		"RSA":             {rsaDER, "neither ECDSA nor Ed25519"},
		"not self-signed": {deepChain(t, east)[1].Raw, "not self-signed"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := ParseCA(test.der)
			require.ErrorContains(t, err, test.want)
		})
	}
}

func TestCertificateIsRenewedWithoutRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ca, err := NewCA("east", time.Now())
		require.NoError(t, err)
		certifier := NewCertifier(ca, "gw1", nil)
		_, err = certifier.Certificate()
		require.ErrorIs(t, err, ErrNoFederation)
		certifier.SetFederation(federationID)

		serials := make(map[string]bool)
		for range 10 * 24 {
			c, err := certifier.Certificate()
			require.NoError(t, err)
			_, err = VerifyMember(chainOf(t, c), federationID, catalogOf(ca), time.Now())
			require.NoError(t, err)
			require.Greater(t, time.Until(c.Leaf.NotAfter), 7*time.Hour, "renewed at two thirds of its validity")
			serials[c.Leaf.SerialNumber.String()] = true
			time.Sleep(time.Hour)
		}
		assert.InDelta(t, 15, len(serials), 1, "each certificate is used for two thirds of a day")
	})
}

func TestCertificateFollowsFederationAndClock(t *testing.T) {
	now := noon
	ca := newTestCA(t, "east")
	certifier := NewCertifier(ca, "gw1", func() time.Time { return now })
	certifier.SetFederation(federationID)
	first, err := certifier.Certificate()
	require.NoError(t, err)
	same, err := certifier.Certificate()
	require.NoError(t, err)
	assert.Same(t, first, same)

	now = noon.Add(-48 * time.Hour) // the clock was set back
	earlier, err := certifier.Certificate()
	require.NoError(t, err)
	assert.NotSame(t, first, earlier)
	assert.True(t, earlier.Leaf.NotBefore.Before(now))

	certifier.SetFederation("another")
	other, err := certifier.Certificate()
	require.NoError(t, err)
	assert.Equal(t, "another", other.Leaf.URIs[0].Host)
}
