package replica_test

import (
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/catalogpb"
	"github.com/meshway/meshway/consensus/catalog/quota"
	"github.com/meshway/meshway/consensus/catalog/succession"
)

// successionBy returns the certificate with which the CA of one text hands west over to
// that of another.
func successionBy(t testing.TB, former, next string) []byte {
	t.Helper()
	signer, seed := sha256.Sum256([]byte(former)), sha256.Sum256([]byte(next))
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "west"}, NotBefore: start(), NotAfter: start().AddDate(10, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
		URIs: []*url.URL{succession.Subject(federationID, "west")},
	}
	parent, err := x509.ParseCertificate(certificate(t, former, true))
	require.NoError(t, err)
	der, err := x509.CreateCertificate(nil, template, parent, ed25519.NewKeyFromSeed(seed[:]).Public(), ed25519.NewKeyFromSeed(signer[:]))
	require.NoError(t, err)
	return der
}

// replaced returns west with the CA of a text, which that of another announced.
func replaced(t testing.TB, west catalog.Datacenter, former, next string) catalog.Datacenter {
	t.Helper()
	return succession.With(west, certificate(t, next, true), successionBy(t, former, next))
}

func TestCAIsReplacedAndItsPredecessorRetired(t *testing.T) {
	m := populated(t)
	west, _ := m.state.View().Datacenter("west")
	next := replaced(t, west, "west", "west 2")
	m.must(westGateway, catalog.NewReplaceCA(next))
	m.must(westGateway, catalog.NewReplaceCA(next))
	m.must(westGateway, catalog.NewUpdateDatacenter(testDatacenterWith(next, "10.2.0.0/16", "10.7.0.0/16")))
	have, _ := m.state.View().Datacenter("west")
	assert.True(t, succession.Same(next, have), "other changes keep it")
	m.refused(westGateway, catalog.NewUpdateDatacenter(testDatacenterWith(west, "10.2.0.0/16")), catalog.CodeCertificateFixed)
	m.must(westGateway, catalog.NewReplaceCA(succession.Retire(have)))
	have, _ = m.state.View().Datacenter("west")
	_, pending := succession.Pending(have)
	assert.False(t, pending)
	for i := range succession.Most + 1 {
		former, name := "west 2", "west 3"
		for range i {
			former, name = name, name+"+"
		}
		have, _ = m.state.View().Datacenter("west")
		m.must(westGateway, catalog.NewReplaceCA(replaced(t, have, former, name)))
		have, _ = m.state.View().Datacenter("west")
		m.must(westGateway, catalog.NewReplaceCA(succession.Retire(have)))
	}
	have, _ = m.state.View().Datacenter("west")
	assert.Len(t, have.Successions, succession.Most)
}

func testDatacenterWith(dc catalog.Datacenter, pods ...string) catalog.Datacenter {
	dc.Prefixes = prefixes(catalog.PodPrefix, pods...)
	return dc
}

func TestCAIsReplacedOnlyByItsSuccessor(t *testing.T) {
	m := populated(t)
	for _, id := range []catalog.GatewayID{eastGateway, westGateway, northGateway} {
		g, _ := m.state.View().Gateway(id)
		g.FeatureLevel = catalog.Level
		m.must(id, catalog.NewUpdateGateway(g))
	}
	west, _ := m.state.View().Datacenter("west")
	good := replaced(t, west, "west", "west 2")
	unannounced := west
	unannounced.CACertificate = certificate(t, "west 2", true)
	unretired := good.Clone()
	unretired.Successions = append(unretired.Successions, unretired.Successions...)
	long := good.Clone()
	long.Successions[0].Certificate = make([]byte, 5<<10)
	for name, test := range map[string]struct {
		author  catalog.GatewayID
		command *catalogpb.Command
		code    string
	}{
		"its successor":                    {westGateway, catalog.NewReplaceCA(good), ""},
		"by another datacenter":            {eastGateway, catalog.NewReplaceCA(good), catalog.CodeNotOwner},
		"by a command of an earlier level": {westGateway, catalog.NewUpdateDatacenter(good), catalog.CodeCertificateFixed},
		"without a succession":             {westGateway, catalog.NewReplaceCA(unannounced), catalog.CodeCASuccession},
		"with more successions":            {westGateway, catalog.NewReplaceCA(unretired), catalog.CodeCASuccession},
		"with a long certificate":          {westGateway, catalog.NewReplaceCA(long), catalog.CodeCASuccession},
		"signed by another CA":             {westGateway, catalog.NewReplaceCA(replaced(t, west, "east", "west 2")), catalog.CodeCASuccession},
		"with the key of another":          {westGateway, catalog.NewReplaceCA(replaced(t, west, "west", "east")), catalog.CodeCertificateTaken},
		"with its own key":                 {westGateway, catalog.NewReplaceCA(replaced(t, west, "west", "west")), catalog.CodeCASuccession},
	} {
		t.Run(name, func(t *testing.T) {
			verdict := m.state.Judge([]*catalogpb.Command{m.sign(test.author, test.command)}, quota.DefaultLimits(), m.now)[0]
			if test.code == "" {
				require.Nil(t, verdict.Result.Refusal)
				return
			}
			require.NotNil(t, verdict.Result.Refusal)
			assert.Equal(t, test.code, verdict.Result.Refusal.Code, verdict.Result.Refusal.Message)
		})
	}
}

func TestCAIsNotReplacedWhileAGatewayHasAnEarlierBuild(t *testing.T) {
	m := populated(t)
	west, _ := m.state.View().Datacenter("west")
	command := m.sign(westGateway, catalog.NewReplaceCA(replaced(t, west, "west", "west 2")))
	refusal := m.state.Judge([]*catalogpb.Command{command}, quota.DefaultLimits(), m.now)[0].Result.Refusal
	require.NotNil(t, refusal)
	assert.Equal(t, catalog.CodeFeatureLevel, refusal.Code)
	assert.Contains(t, refusal.Message, string(eastGateway))
}

// One command writes the successions of a datacenter, another one its prefixes, and each of
// them has the maximum size of a command.
func TestLargestSuccessionsAndPrefixesAreKeptBySnapshots(t *testing.T) {
	m := upgraded(t)
	west, _ := m.state.View().Datacenter("west")
	for i := range succession.Most + 1 {
		if i > 0 {
			m.must(westGateway, catalog.NewReplaceCA(succession.Retire(west)))
			west, _ = m.state.View().Datacenter("west")
		}
		ca := certificateWithKey(t, fmt.Sprint("west ", i), strings.Repeat("west", 1000), true)
		m.must(westGateway, catalog.NewReplaceCA(succession.With(west, ca, make([]byte, 4<<10))))
		west, _ = m.state.View().Datacenter("west")
	}
	written := proto.Size(west.Proto())
	require.Greater(t, written, catalog.MaxCommandSize*3/4)
	m.must(westGateway, catalog.NewUpdateDatacenter(catalog.Datacenter{Name: "west", Prefixes: largestPrefixes(100)}))
	west, _ = m.state.View().Datacenter("west")
	require.Greater(t, proto.Size(west.Proto()), written+catalog.MaxCommandSize*3/4)
	require.Less(t, proto.Size(west.Proto()), catalog.MaxCommandRecord)
	requireKept(t, m)
}
