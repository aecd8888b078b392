package member

import (
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/meshway/meshway/agent/identity"
	"github.com/meshway/meshway/agent/trust"
	"github.com/meshway/meshway/consensus/archive"
	"github.com/meshway/meshway/consensus/archive/archivetest"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/replica"
)

const archivedFederation = "123e4567-e89b-12d3-a456-426614174000"

// viewOf returns a catalog in which west has a CA.
func viewOf(t testing.TB, ca *identity.CA) *replica.View {
	t.Helper()
	state := replica.New()
	command := catalog.NewInit(
		catalog.Federation{ID: archivedFederation, Name: "test", Overlay: netip.MustParsePrefix("fd77::/48")},
		catalog.Datacenter{Name: "west", CACertificate: ca.Certificate(), Prefixes: []catalog.Prefix{{CIDR: netip.MustParsePrefix("10.1.0.0/16"), Kind: catalog.PodPrefix}}},
		catalog.Gateway{Datacenter: "west", Name: "gw", PublicKey: [32]byte{1}, Endpoints: []string{"192.0.2.1:51820"}, Controls: []string{"192.0.2.1:7443"}, Version: "v1"},
	)
	command.Author, command.At = "west/gw", timestamppb.Now()
	entry, err := catalog.Marshal(command)
	require.NoError(t, err)
	results, err := state.Apply(1, entry)
	require.NoError(t, err)
	require.Nil(t, results[0].Refusal)
	return state.View()
}

// archivedBy returns an archive of a catalog in which west has a CA, signed with a
// certificate of signer for gateway gw.
func archivedBy(t *testing.T, ca, signer *identity.CA, gateway string) (info archive.Info, archivedCA []byte) {
	t.Helper()
	data, _, err := archive.Pack(archive.Info{Gateway: "west/gw", SavedAt: time.Now(), Term: 3}, viewOf(t, ca), func(statement []byte) (certificate, signature []byte, err error) {
		if signer == nil {
			return nil, nil, nil
		}
		issued, err := signer.Issue(gateway, archivedFederation, time.Now())
		require.NoError(t, err)
		return trust.Sign(issued, statement)
	})
	require.NoError(t, err)
	opened, err := archive.Open(data)
	require.NoError(t, err)
	return opened.Info(), opened.SignerCA()
}

func TestArchiveIsVerifiedByTheGatewayThatSavedIt(t *testing.T) {
	west, err := identity.NewCA("west", time.Now())
	require.NoError(t, err)
	forger, err := identity.NewCA("west", time.Now())
	require.NoError(t, err)
	ledger := trust.Ledger{FederationID: archivedFederation}.WithPin("west", west.Pin())

	info, archivedCA := archivedBy(t, west, west, "gw")
	signer, err := verifyOrigin(info, archivedCA, ledger)
	require.NoError(t, err)
	assert.Equal(t, catalog.GatewayID("west/gw"), signer.ID())

	for name, change := range map[string]func(*archive.Info){
		"another gateway": func(i *archive.Info) { i.Gateway = "west/other" },
		"another index":   func(i *archive.Info) { i.Index++ },
		"another catalog": func(i *archive.Info) { i.SHA256 = "0" + i.SHA256[1:] + "f" },
		"another time":    func(i *archive.Info) { i.SavedAt = i.SavedAt.Add(time.Second) },
		"no signature":    func(i *archive.Info) { i.Signature = "" },
	} {
		changed := info
		change(&changed)
		_, err := verifyOrigin(changed, archivedCA, ledger)
		require.Error(t, err, name)
	}
	for name, test := range map[string]struct {
		ca, signer *identity.CA
		gateway    string
	}{
		"a CA that is not trusted":       {forger, forger, "gw"},
		"a CA that is not the archive's": {west, forger, "gw"},
		"another gateway of the same CA": {west, west, "other"},
		"an archive of an earlier build": {west, nil, ""},
	} {
		info, archivedCA := archivedBy(t, test.ca, test.signer, test.gateway)
		_, err := verifyOrigin(info, archivedCA, ledger)
		require.Error(t, err, name)
	}
	_, err = verifyOrigin(info, archivedCA, trust.Ledger{FederationID: archivedFederation})
	require.Error(t, err, "a datacenter that was never seen")
}

func TestArchiveOfUnknownOriginIsRefusedBeforeItsCatalogIsDecoded(t *testing.T) {
	opened, err := archive.Open(archivetest.Forge(t, archive.Info{Federation: archivedFederation, Gateway: "west/gw"}, []byte{1, 0xff}))
	require.NoError(t, err)
	_, err = opened.Catalog()
	require.ErrorIs(t, err, archive.ErrInvalid, "the catalog cannot be decoded")
	_, err = describeOrigin(opened, trust.Ledger{FederationID: archivedFederation}, false)
	refusal := catalog.AsRefusal(err)
	require.NotNil(t, refusal)
	assert.Equal(t, CodeUnsignedArchive, refusal.Code)
}
