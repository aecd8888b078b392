package trust

import (
	"math"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/agent/identity"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/catalogpb"
	"github.com/meshway/meshway/consensus/catalog/succession"
)

// rotate returns m with a new CA that its former one announced, which signs the record
// of the datacenter. The gateway still has the former signature.
func (m *member) rotate(version uint64) *member {
	m.t.Helper()
	next := m.copy()
	var err error
	next.ca, err = identity.NewCA(m.datacenter.Name, start())
	require.NoError(m.t, err)
	certificate, err := m.ca.Succeed(next.ca, federationID, start())
	require.NoError(m.t, err)
	next.datacenter = succession.With(next.datacenter, next.ca.Certificate(), certificate)
	next.signDatacenter(version)
	return next
}

func (m *member) retire(version uint64) *member {
	next := m.copy()
	next.datacenter = succession.Retire(next.datacenter)
	next.signDatacenter(version)
	return next
}

// signedBy returns m with records that another CA signed.
func (m *member) signedBy(ca *identity.CA, version uint64) *member {
	forged := m.copy()
	forged.ca = ca
	return forged.sign(version)
}

func TestPinFollowsTheRotationOfACAAtEachStep(t *testing.T) {
	east, west := newMember(t, "east", 1).sign(7), newMember(t, "west", 2).sign(7)
	announced := west.rotate(8)
	moved := announced.copy()
	moved.signGateway(9)
	retired := moved.retire(10)
	endpoint := announced.copy()
	endpoint.ca = west.ca
	endpoint.gateway.Endpoints = []string{"192.0.2.9:51820"}
	endpoint.signGateway(8)
	for name, step := range map[string]struct {
		catalogs []*member
		former   []byte
	}{
		"the new CA is announced":                        {[]*member{west, announced}, west.ca.Certificate()},
		"a gateway has not received the new key yet":     {[]*member{west, announced, endpoint}, west.ca.Certificate()},
		"the gateway uses the new CA":                    {[]*member{west, announced, moved}, west.ca.Certificate()},
		"the former CA is retired":                       {[]*member{west, announced, moved, retired}, nil},
		"a member that was away sees only the last step": {[]*member{west, retired}, nil},
		"a member that joins during it":                  {[]*member{announced}, west.ca.Certificate()},
		"a member that joins after it":                   {[]*member{retired}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			var v Verdict
			v.Ledger = Ledger{FederationID: federationID}
			for i, m := range step.catalogs {
				v = Judge("east/gw", storedAndLoaded(t, v.Ledger), catalogOf(uint64(10+i), east, m))
				require.Empty(t, v.Findings)
			}
			last := step.catalogs[len(step.catalogs)-1]
			assert.Equal(t, catalogOf(v.Catalog.Index, east, last), v.Catalog)
			assert.Equal(t, announced.ca.Pin(), v.Ledger.Datacenters["west"].Pin)
			assert.Equal(t, step.former, v.Ledger.Datacenters["west"].Former)
		})
	}
}

func TestHostileRotationChangesNothing(t *testing.T) {
	east, west := newMember(t, "east", 1).sign(7), newMember(t, "west", 2).sign(7)
	stranger := newMember(t, "west", 3)
	announced := west.rotate(8)
	moved := announced.copy()
	moved.signGateway(9)
	retired := moved.retire(10)
	byNobody := west.copy()
	certificate, err := stranger.ca.Succeed(stranger.ca, federationID, start())
	require.NoError(t, err)
	byNobody.datacenter = succession.With(byNobody.datacenter, stranger.ca.Certificate(), certificate)
	unsigned := west.rotate(8)
	unsigned.datacenter.Signature = catalog.Signature{}
	again := retired.copy()
	again.datacenter.Successions[0].Retired = false
	stolen := west.rotate(11) // with the former key
	before, after := []*member{west}, []*member{west, announced, moved, retired}
	for name, attack := range map[string]struct {
		before []*member
		forged *member
		want   []Kind
	}{
		"with neither key":                                {before, byNobody.signedBy(stranger.ca, 8), []Kind{PinBroken}},
		"to a CA whose key the author does not have":      {before, unsigned, []Kind{SignatureInvalid}},
		"back to the former records":                      {after, west, []Kind{PinBroken}},
		"records that the former CA signs after it":       {after, retired.signedBy(west.ca, 11), []Kind{SignatureInvalid, SignatureInvalid}},
		"a second succession of the former CA":            {after, stolen, []Kind{PinBroken}},
		"trust in the former CA again":                    {after, again.signedBy(retired.ca, 11), nil},
		"the retirement withdrawn without the key for it": {after, again, []Kind{SignatureOutdated}},
	} {
		t.Run(name, func(t *testing.T) {
			v := Verdict{Ledger: Ledger{FederationID: federationID}}
			for i, m := range attack.before {
				v = Judge("east/gw", v.Ledger, catalogOf(uint64(10+i), east, m))
			}
			pin := v.Ledger.Datacenters["west"].Pin
			got := Judge("east/gw", v.Ledger, catalogOf(20, east, attack.forged))
			assert.Equal(t, attack.want, kinds(got))
			assert.Equal(t, pin, got.Ledger.Datacenters["west"].Pin)
			assert.Empty(t, got.Ledger.Datacenters["west"].Former)
		})
	}
}

func TestOwnDatacenterFollowsOnlyACAWhoseKeyIsHere(t *testing.T) {
	east, west := newMember(t, "east", 1).sign(7), newMember(t, "west", 2).sign(7)
	store := &memory{}
	authenticator := authenticatorOf(t, east, store)
	authenticator.Verify(catalogOf(10, east, west), start())
	next := east.rotate(8)
	have, _ := authenticator.Verify(catalogOf(11, next, west), start())
	assert.Equal(t, east.datacenter, have.Datacenters[0])
	_, problems := authenticator.Verify(catalogOf(11, next, west), start().Add(2*time.Minute))
	require.Len(t, problems, 1)
	assert.Equal(t, string(CAUnknown), problems[0].Code)

	require.NoError(t, authenticator.UseCA(next.ca))
	have, problems = authenticator.Verify(catalogOf(11, next, west), start().Add(2*time.Minute))
	assert.Empty(t, problems)
	assert.Equal(t, next.datacenter, have.Datacenters[0])
	assert.Equal(t, [][]byte{next.ca.Certificate(), east.ca.Certificate()}, authenticator.CAs("east", nil), "siblings may still use the former one")

	again := authenticatorOf(t, east, store)
	_, problems = again.Verify(catalogOf(11, next, west), start())
	assert.Empty(t, problems, "after a restart before the key was replaced")
}

func TestRecordsAreSignedAgainAfterTheRotation(t *testing.T) {
	east := newMember(t, "east", 1).sign(7)
	certifier := identity.NewCertifier(east.ca, "gw", nil)
	certifier.SetFederation(federationID)
	authenticator, err := Open(&memory{}, certifier)
	require.NoError(t, err)
	authenticator.Verify(catalogOf(10, east), start())
	next := east.rotate(8)
	view := viewOf(t, east, catalog.NewReplaceCA(next.datacenter))
	assert.Equal(t, []string{"gw"}, authenticator.Waiting(view))
	require.NoError(t, authenticator.UseCA(next.ca))
	certifier.Use(next.ca, identity.Chain(next.datacenter))
	gateway, _ := authenticator.Unsigned(view)
	assert.True(t, gateway)
	record, _ := view.Gateway("east/gw")
	record, err = SignGateway(next.certificate("gw"), federationID, record, 9)
	require.NoError(t, err)
	assert.Empty(t, authenticator.Waiting(viewOf(t, east, catalog.NewReplaceCA(next.datacenter), catalog.NewUpdateGateway(record))))
}

// TestRotationSignsOnlyARecordThatTheDatacenterHasSigned checks that a leader that alters
// the record of a datacenter does not obtain a signature of it by a rotation.
func TestRotationSignsOnlyARecordThatTheDatacenterHasSigned(t *testing.T) {
	east := newMember(t, "east", 1).sign(7)
	authenticator := authenticatorOf(t, east, &memory{})
	authenticator.Verify(catalogOf(10, east), start())
	dc, err := authenticator.OwnDatacenter(viewOf(t, east))
	require.NoError(t, err)
	assert.Equal(t, east.datacenter.Prefixes, dc.Prefixes)

	altered, unsigned, replaced := east.copy(), east.copy(), newMember(t, "east", 1).sign(8)
	altered.datacenter.Prefixes[0].CIDR = netip.MustParsePrefix("10.66.0.0/16")
	unsigned.datacenter.Signature = catalog.Signature{}
	for name, m := range map[string]*member{"other prefixes": altered, "no signature": unsigned, "another CA": replaced} {
		_, err = authenticator.OwnDatacenter(viewOf(t, m))
		refusal := new(catalog.Refusal)
		require.ErrorAs(t, err, &refusal, name)
		assert.NotEmpty(t, refusal.Remedy, name)
	}
}

// TestForgedVersionDoesNotEndWhatAGatewayCanSign checks that a version that no gateway of
// the datacenter has signed does not bring it to sign the highest one, after which no
// record of it would be accepted.
func TestForgedVersionDoesNotEndWhatAGatewayCanSign(t *testing.T) {
	east := newMember(t, "east", 1).sign(7)
	authenticator := authenticatorOf(t, east, &memory{})
	authenticator.Verify(catalogOf(10, east), start())
	forged := east.copy()
	forged.gateway.Signature.Version, forged.datacenter.Signature.Version = math.MaxUint64-1, math.MaxUint64-1
	view := viewOf(t, forged)
	commands := []*catalogpb.Command{catalog.NewUpdateGateway(east.gateway), catalog.NewUpdateDatacenter(forged.datacenter)}
	require.NoError(t, authenticator.Sign(view, commands))
	limit := uint64(time.Now().Add(time.Hour).UnixMilli())
	assert.Less(t, commands[0].GetUpdateGateway().GetGateway().GetSignature().GetVersion(), limit)
	assert.Less(t, commands[1].GetUpdateDatacenter().GetDatacenter().GetSignature().GetVersion(), limit)

	// One that a gateway has signed counts also if nothing is remembered: its disk was lost.
	ahead := uint64(time.Now().Add(24 * 365 * time.Hour).UnixMilli())
	record, _ := viewOf(t, east).Gateway("east/gw") // with the address that the catalog assigned
	record, err := SignGateway(east.certificate("gw"), federationID, record, ahead)
	require.NoError(t, err)
	east.signDatacenter(ahead)
	commands = []*catalogpb.Command{catalog.NewUpdateGateway(record), catalog.NewUpdateDatacenter(east.datacenter)}
	lost := authenticatorOf(t, east, &memory{})
	require.NoError(t, lost.Sign(viewOf(t, east, catalog.NewUpdateGateway(record)), commands))
	assert.Equal(t, ahead+1, commands[0].GetUpdateGateway().GetGateway().GetSignature().GetVersion())
	assert.Equal(t, ahead+1, commands[1].GetUpdateDatacenter().GetDatacenter().GetSignature().GetVersion())
}
