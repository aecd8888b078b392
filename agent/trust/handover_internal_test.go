package trust

import (
	"encoding/json"
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/agent/identity"
	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/consensus/catalog"
)

// received returns the ledger of a gateway that another one admits with its ledger and a
// copy of the catalog.
func received(t *testing.T, sent Ledger, have plan.Catalog) Ledger {
	t.Helper()
	text, err := json.Marshal(sent)
	require.NoError(t, err)
	l, err := readHandover(text, have, start())
	require.NoError(t, err)
	return l
}

// TestGatewayIsNotDeceivedByTheHandoverAboutADatacenterWhosePinItHas checks what a
// gateway that admits another may add to a pin that the other has from elsewhere.
func TestGatewayIsNotDeceivedByTheHandoverAboutADatacenterWhosePinItHas(t *testing.T) {
	east, west := newMember(t, "east", 1).sign(7), newMember(t, "west", 2).sign(7)
	thief := newMember(t, "west", 2)
	thief.gateway.PublicKey[0] ^= 1
	forged := west.copy()
	forged.gateway, forged.datacenter.Prefixes = thief.sign(8).gateway, east.datacenter.Prefixes
	good := catalogOf(10, east, west)
	honest := judgeAll(good).Ledger.Handover()
	for name, c := range map[string]struct {
		change func(*Datacenter)
		index  uint64
		have   plan.Catalog
		want   []Kind
	}{
		"nothing":  {func(*Datacenter) {}, 10, good, nil},
		"a record": {func(d *Datacenter) { d.Record, d.Version = &forged.datacenter, 6 }, 10, good, nil},
		"a record of a gateway": {func(d *Datacenter) {
			d.Gateways = map[string]Gateway{"gw": {Record: &thief.gateway, Version: 6}}
		}, 10, good, nil},
		"versions that end what can be signed": {func(d *Datacenter) {
			d.Floor, d.Version, d.Gateways = math.MaxUint64-1, math.MaxUint64, map[string]Gateway{"gw": {Version: math.MaxUint64}}
		}, 10, good, nil},
		"a version that is not there yet": {func(d *Datacenter) { d.Version = 9 }, 10, good, []Kind{SignatureOutdated}},
		"a former CA":                     {func(d *Datacenter) { d.Record, d.Former = &west.datacenter, thief.ca.Certificate() }, 10, catalogOf(10, east, forgedGateway(west, thief)), []Kind{SignatureInvalid}},
		"an index in the future":          {func(*Datacenter) {}, math.MaxUint64, catalogOf(10, east, forgedGateway(west, thief)), []Kind{SignatureInvalid}},
	} {
		t.Run(name, func(t *testing.T) {
			sent := honest
			sent.Index = c.index
			sent = sent.with("west", func(d Datacenter) Datacenter { c.change(&d); return d })
			got := Judge("east/gw", received(t, sent, c.have), c.have)
			assert.Equal(t, c.want, kinds(got))
			for _, g := range got.Catalog.Gateways {
				assert.NotEqual(t, thief.gateway.PublicKey, g.PublicKey, "%s", g.ID())
			}
			for _, dc := range got.Catalog.Datacenters {
				assert.Contains(t, []*member{east, west}[dc.Ordinal-1].datacenter.Prefixes, dc.Prefixes[0], "%s", dc.Name)
			}
			assert.Empty(t, got.Ledger.Datacenters["west"].Former)
		})
	}
}

// forgedGateway returns m with the gateway of another datacenter of the same name.
func forgedGateway(m, thief *member) *member {
	forged := m.copy()
	forged.gateway = thief.gateway
	return forged
}

func TestGatewayThatIsAdmittedDuringARotationTrustsTheFormerCA(t *testing.T) {
	east, west := newMember(t, "east", 1).sign(7), newMember(t, "west", 2).sign(7)
	announced := west.rotate(8)
	retired := announced.copy()
	retired.signGateway(9)
	retired = retired.retire(10)
	during, after := catalogOf(11, east, announced), catalogOf(12, east, retired)
	sent := judgeAll(catalogOf(10, east, west), during).Ledger.Handover()
	got := Judge("east/gw", received(t, sent, during), during)
	assert.Empty(t, got.Findings)
	assert.Equal(t, during, got.Catalog)
	assert.Equal(t, west.ca.Certificate(), got.Ledger.Datacenters["west"].Former)

	got = Judge("east/gw", received(t, judgeAll(catalogOf(10, east, west), during, after).Ledger.Handover(), during), during)
	assert.Equal(t, []Kind{SignatureOutdated, SignatureOutdated}, kinds(got), "a record from before the retirement")
	assert.Empty(t, got.Ledger.Datacenters["west"].Former)
}

func TestHandoverThatIsNewerThanTheCopyRefusesNothingThatFollows(t *testing.T) {
	east, west, north := newMember(t, "east", 1).sign(7), newMember(t, "west", 2).sign(7), newMember(t, "north", 3).sign(7)
	copied, present := catalogOf(10, east, west), catalogOf(11, east, west, north)
	second := west.gateway
	second.Name, second.PublicKey[0], second.Overlay, second.Index = "gw2", 9, north.gateway.Overlay.Next(), 1
	second, err := SignGateway(west.certificate("gw2"), federationID, second, 8)
	require.NoError(t, err)
	present.Gateways = append(present.Gateways, second)
	sent := judgeAll(copied, present).Ledger.Handover()
	require.Equal(t, uint64(11), sent.Index)
	first := Judge("east/gw", received(t, sent, copied), copied)
	assert.Empty(t, first.Findings)
	got := Judge("east/gw", first.Ledger, present)
	assert.Empty(t, got.Findings)
	assert.Len(t, got.Catalog.Gateways, 4)
}

// TestWrongPinsOfAnInviterAreReported checks what the threat model has of a hostile inviter:
// its pin withholds the records of the real datacenter, and accepts only those of the CA
// that it made.
func TestWrongPinsOfAnInviterAreReported(t *testing.T) {
	east, west, north := newMember(t, "east", 1).sign(7), newMember(t, "west", 2).sign(7), newMember(t, "north", 3)
	forged := newMember(t, "west", 2).sign(9)
	pin, err := identity.PinOf(forged.datacenter.CACertificate)
	require.NoError(t, err)
	honest, hostile := catalogOf(11, east, north, west), catalogOf(11, east, north, forged)
	sent := judgeAll(catalogOf(10, east, west)).Ledger.Handover().WithPin("west", pin)

	got := Judge("north/gw", received(t, sent, honest), honest)
	assert.Contains(t, kinds(got), PinBroken)
	for _, g := range got.Catalog.Gateways {
		assert.NotEqual(t, catalog.DatacenterName("west"), g.Datacenter, "a record that does not verify")
	}
	got = Judge("north/gw", received(t, sent, hostile), hostile)
	assert.NotContains(t, kinds(got), PinBroken, "the leader helps")
	corrected := received(t, sent, honest).WithPins(map[catalog.DatacenterName]identity.Pin{"west": judgeAll(honest).Ledger.Datacenters["west"].Pin})
	got = Judge("north/gw", corrected, honest)
	assert.NotContains(t, kinds(got), PinBroken, "with the pin that the operator of west names")
}
