package trust

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/agent/identity"
	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/consensus/catalog"
)

// forgery is one thing that a hostile leader may write into the catalog in place of
// west's records, which were signed with version 7.
type forgery struct {
	change func(t *testing.T, west *member) // with what a leader has
	want   []Kind
}

func forgeries() map[string]forgery {
	return map[string]forgery{
		"another WireGuard key": {func(_ *testing.T, m *member) { m.gateway.PublicKey[0] ^= 1 }, []Kind{SignatureOutdated}},
		"another WireGuard key and a higher version": {func(_ *testing.T, m *member) {
			m.gateway.PublicKey[0] ^= 1
			m.gateway.Signature.Version++
		}, []Kind{SignatureInvalid}},
		"another endpoint without a signature": {func(_ *testing.T, m *member) {
			m.gateway.Endpoints, m.gateway.Signature = []string{"192.0.2.66:1"}, catalog.Signature{}
		}, []Kind{SignatureMissing}},
		"more prefixes": {func(_ *testing.T, m *member) {
			m.datacenter.Prefixes = append(m.datacenter.Prefixes, catalog.Prefix{CIDR: netip.MustParsePrefix("10.66.0.0/16"), Kind: catalog.PodPrefix})
		}, []Kind{SignatureOutdated}},
		"another datacenter's signature": {func(t *testing.T, m *member) {
			attacker := newMember(t, "west", 66)
			attacker.gateway, attacker.datacenter = m.gateway, m.datacenter
			attacker.sign(8)
			m.gateway, m.datacenter = attacker.gateway, attacker.datacenter
		}, []Kind{SignatureInvalid, SignatureInvalid}},
		"another CA with records that it signed": {func(t *testing.T, m *member) {
			attacker := newMember(t, "west", 2)
			attacker.gateway.PublicKey[0] ^= 1
			*m = *attacker.sign(8)
		}, []Kind{PinBroken}},
		"another CA without signatures": {func(t *testing.T, m *member) { *m = *newMember(t, "west", 2) }, []Kind{PinBroken}},
		"a CA that cannot be read":      {func(_ *testing.T, m *member) { m.datacenter.CACertificate = []byte("CA") }, []Kind{SignatureInvalid}},
		"another overlay address":       {func(_ *testing.T, m *member) { m.gateway.Overlay = m.gateway.Overlay.Next() }, []Kind{SignatureOutdated}},
	}
}

func TestForgedRecordChangesNothing(t *testing.T) {
	east, west := newMember(t, "east", 1).sign(7), newMember(t, "west", 2).sign(7)
	good := catalogOf(10, east, west)
	for name, forgery := range forgeries() {
		t.Run(name, func(t *testing.T) {
			forged := west.copy()
			forgery.change(t, forged)
			got := judgeAll(good, catalogOf(11, east, forged))
			want := good
			want.Index = 11
			assert.Equal(t, want, got.Catalog)
			assert.Equal(t, forgery.want, kinds(got))

			stored := storedAndLoaded(t, got.Ledger)
			assert.Equal(t, want, Judge("east/gw", stored, catalogOf(11, east, forged)).Catalog, "after a restart")
			again := judgeAll(good, catalogOf(11, east, forged), catalogOf(12, east, west))
			assert.Empty(t, again.Findings, "the true record is back")
		})
	}
}

// storedAndLoaded returns the ledger as it is read from disk.
func storedAndLoaded(t *testing.T, l Ledger) Ledger {
	t.Helper()
	text, err := json.Marshal(l)
	require.NoError(t, err)
	var loaded Ledger
	require.NoError(t, json.Unmarshal(text, &loaded))
	return loaded
}

func TestForgedRecordOfANewGatewayIsWithheld(t *testing.T) {
	east, west := newMember(t, "east", 1).sign(7), newMember(t, "west", 2).sign(7)
	second := west.copy()
	second.gateway.Name, second.gateway.PublicKey, second.gateway.Overlay, second.gateway.Index = "gw2", catalog.Key{9}, netip.MustParseAddr("fd00::99"), 1
	second.gateway.Signature = catalog.Signature{}
	withSecond := catalogOf(11, east, west)
	withSecond.Gateways = append(withSecond.Gateways, second.gateway)
	got := judgeAll(catalogOf(10, east, west), withSecond)
	assert.Equal(t, catalogOf(11, east, west), got.Catalog)
	assert.Equal(t, []Kind{SignatureMissing}, kinds(got))

	second.signGateway(8)
	withSecond.Gateways[2] = second.gateway
	got = judgeAll(catalogOf(10, east, west), withSecond)
	assert.Len(t, got.Catalog.Gateways, 3, "its datacenter signed it")
	assert.Empty(t, got.Findings)
}

func TestNewRecordOfItsOwnerIsAccepted(t *testing.T) {
	east, west := newMember(t, "east", 1).sign(7), newMember(t, "west", 2).sign(7)
	moved := west.copy()
	moved.gateway.Endpoints = []string{"192.0.2.9:51820"}
	moved.datacenter.Prefixes[0].CIDR = netip.MustParsePrefix("10.9.0.0/16")
	moved.sign(8)
	got := judgeAll(catalogOf(10, east, west), catalogOf(11, east, moved))
	assert.Equal(t, catalogOf(11, east, moved), got.Catalog)
	assert.Empty(t, got.Findings)
	assert.True(t, got.Changed)

	got = judgeAll(catalogOf(10, east, west), catalogOf(11, east, moved), catalogOf(12, east, west))
	assert.Equal(t, []Kind{SignatureOutdated, SignatureOutdated}, kinds(got), "the former records")
	assert.Equal(t, catalogOf(12, east, moved), got.Catalog)
}

func TestRecordsOfAMemberThatNeverSignedAreAccepted(t *testing.T) {
	east, west := newMember(t, "east", 1).sign(7), newMember(t, "west", 2)
	moved := west.copy()
	moved.gateway.Endpoints = []string{"192.0.2.9:51820"}
	got := judgeAll(catalogOf(10, east, west), catalogOf(11, east, moved))
	assert.Equal(t, catalogOf(11, east, moved), got.Catalog)
	require.Len(t, got.Findings, 1)
	problem := got.Findings[0].problem("")
	assert.Equal(t, plan.Warning, problem.Severity)
	assert.Equal(t, "gateway west/gw", problem.Subject, "it names the gateway that holds back")

	upgraded := moved.copy().sign(8)
	got = judgeAll(catalogOf(10, east, moved), catalogOf(11, east, upgraded), catalogOf(12, east, moved))
	assert.Equal(t, []Kind{SignatureMissing, SignatureMissing}, kinds(got), "what was signed once stays signed")
	assert.Equal(t, catalogOf(12, east, upgraded).Gateways, got.Catalog.Gateways)
}

func TestOneGatewaySignsBeforeItsSiblingIsUpgraded(t *testing.T) {
	east, west := newMember(t, "east", 1).sign(7), newMember(t, "west", 2)
	west.signGateway(8)
	sibling := west.copy()
	sibling.gateway.Name, sibling.gateway.PublicKey, sibling.gateway.Overlay = "gw2", catalog.Key{9}, netip.MustParseAddr("fd00::99")
	sibling.gateway.Signature = catalog.Signature{}
	mixed := catalogOf(10, east, west)
	mixed.Gateways = append(mixed.Gateways, sibling.gateway)
	got := judgeAll(mixed)
	assert.Equal(t, mixed, got.Catalog)
	assert.Equal(t, []Kind{Unsigned}, kinds(got))
}

func TestStaleRecordsOfAFormerMembershipAreRefused(t *testing.T) {
	east, west := newMember(t, "east", 1).sign(7), newMember(t, "west", 2).sign(7)
	gone := catalogOf(11, east)
	got := judgeAll(catalogOf(10, east, west), gone)
	assert.Equal(t, gone, got.Catalog)
	assert.Empty(t, got.Findings)

	got = judgeAll(catalogOf(10, east, west), gone, catalogOf(12, east, west))
	assert.Equal(t, catalogOf(12, east), got.Catalog, "the records that were removed")
	assert.Equal(t, []Kind{SignatureOutdated, SignatureOutdated}, kinds(got))

	other := newMember(t, "west", 2).sign(9)
	got = judgeAll(catalogOf(10, east, west), gone, catalogOf(12, east, other))
	assert.Equal(t, []Kind{PinBroken}, kinds(got), "another one under the name of a datacenter that is gone")
	assert.Equal(t, catalogOf(12, east), got.Catalog)

	again := west.copy().sign(8)
	got = judgeAll(catalogOf(10, east, west), gone, catalogOf(12, east, again))
	assert.Equal(t, catalogOf(12, east, again), got.Catalog, "it joined again")
	assert.Empty(t, got.Findings)
}

func TestRecordOfARemovedGatewayIsRefused(t *testing.T) {
	east, west := newMember(t, "east", 1).sign(7), newMember(t, "west", 2).sign(7)
	removed := west.copy()
	removed.gateway.Name, removed.gateway.PublicKey, removed.gateway.Overlay = "gw2", catalog.Key{9}, netip.MustParseAddr("fd00::99")
	removed.signGateway(8)
	both := catalogOf(10, east, west)
	both.Gateways = append(both.Gateways, removed.gateway)
	after := catalogOf(12, east, west)
	after.Gateways = append(after.Gateways, removed.gateway)

	got := judgeAll(both, catalogOf(11, east, west), after)
	assert.Equal(t, catalogOf(12, east, west), got.Catalog)
	assert.Equal(t, []Kind{SignatureOutdated}, kinds(got))
	removed.signGateway(9)
	after.Gateways[2] = removed.gateway
	got = judgeAll(both, catalogOf(11, east, west), after)
	assert.Len(t, got.Catalog.Gateways, 3, "it was enrolled again")
}

func TestNothingFollowsFromACopyOfTheCatalogThatIsOlderThanTheLedger(t *testing.T) {
	east, west := newMember(t, "east", 1).sign(7), newMember(t, "west", 2).sign(7)
	newer := west.copy().sign(8)
	for name, older := range map[string]plan.Catalog{
		"without a datacenter": catalogOf(9, east),
		"with an older record": catalogOf(9, east, west),
	} {
		t.Run(name, func(t *testing.T) {
			got := judgeAll(catalogOf(10, east, newer), older)
			assert.Empty(t, got.Findings)
			assert.False(t, got.Changed)
			got = judgeAll(catalogOf(10, east, newer), older, catalogOf(10, east, newer))
			assert.Empty(t, got.Findings)
			assert.Equal(t, catalogOf(10, east, newer), got.Catalog)
		})
	}
}

func TestNobodyTakesThePrefixOrTheKeysOfAnother(t *testing.T) {
	east, west := newMember(t, "east", 1).sign(7), newMember(t, "west", 2).sign(7)
	for name, claim := range map[string]struct {
		change func(*member)
		want   func(plan.Catalog) int
	}{
		"prefix":          {func(m *member) { m.datacenter.Prefixes[0].CIDR = netip.MustParsePrefix("10.2.128.0/17") }, func(c plan.Catalog) int { return len(c.Datacenters) }},
		"key":             {func(m *member) { m.gateway.PublicKey = west.gateway.PublicKey }, func(c plan.Catalog) int { return len(c.Gateways) }},
		"overlay address": {func(m *member) { m.gateway.Overlay = west.gateway.Overlay }, func(c plan.Catalog) int { return len(c.Gateways) }},
	} {
		t.Run(name, func(t *testing.T) {
			attacker := newMember(t, "aaa", 3)
			claim.change(attacker)
			attacker.sign(7)
			got := judgeAll(catalogOf(10, east, west), catalogOf(11, attacker, east, west))
			assert.Equal(t, []Kind{RecordConflict}, kinds(got))
			assert.Equal(t, 2, claim.want(got.Catalog))
			assert.Contains(t, got.Catalog.Datacenters, west.datacenter)
			assert.Contains(t, got.Catalog.Gateways, west.gateway)
		})
	}
	t.Run("released prefix", func(t *testing.T) {
		heir, released := newMember(t, "aaa", 2).sign(7), west.copy()
		heir.gateway.Overlay = netip.MustParseAddr("fd00::3")
		heir.sign(7)
		released.datacenter.Prefixes[0].CIDR = netip.MustParsePrefix("10.9.0.0/16")
		released.sign(8)
		got := judgeAll(catalogOf(10, east, west), catalogOf(11, heir, east, released))
		assert.Equal(t, catalogOf(11, heir, east, released), got.Catalog)
		assert.Empty(t, got.Findings)
	})
}

func TestOverlayPrefixOfTheFederationStays(t *testing.T) {
	east := newMember(t, "east", 1).sign(7)
	forged := catalogOf(11, east)
	forged.Federation.Overlay = netip.MustParsePrefix("fd66::/48")
	got := judgeAll(catalogOf(10, east), forged)
	assert.Equal(t, catalogOf(11, east), got.Catalog)
	assert.Equal(t, []Kind{FederationChanged}, kinds(got))
}

func TestGatewayUsesItsOwnRecordBeforeItIsSigned(t *testing.T) {
	east, west := newMember(t, "east", 1).sign(7), newMember(t, "west", 2)
	ledger := judgeAll(catalogOf(10, east, west)).Ledger.Handover()
	signed := ledger.Datacenters["east"]
	require.True(t, signed.Signed)
	enrolled := east.copy()
	enrolled.gateway.Name, enrolled.gateway.PublicKey, enrolled.gateway.Overlay = "gw2", catalog.Key{9}, netip.MustParseAddr("fd00::99")
	enrolled.gateway.Signature = catalog.Signature{}
	have := catalogOf(11, east, west)
	have.Gateways = append(have.Gateways, enrolled.gateway)
	got := Judge("east/gw2", ledger, have)
	assert.Contains(t, got.Catalog.Gateways, enrolled.gateway)
}

func TestAdmittedGatewayHasThePinsAndVersionsOfItsInviter(t *testing.T) {
	east, west := newMember(t, "east", 1).sign(7), newMember(t, "west", 2).sign(7)
	ledger := storedAndLoaded(t, judgeAll(catalogOf(10, east, west)).Ledger.Handover())
	north := newMember(t, "north", 3)
	judgeAsNorth := func(west *member) Verdict { return Judge("north/gw", ledger, catalogOf(11, east, north, west)) }

	got := judgeAsNorth(west)
	assert.Equal(t, catalogOf(11, east, north, west).Datacenters, got.Catalog.Datacenters)
	assert.Equal(t, []Kind{Unsigned}, kinds(got), "only its own, which it signs now")
	other := newMember(t, "west", 2).sign(8)
	assert.Contains(t, kinds(judgeAsNorth(other)), PinBroken)
	older := west.copy().sign(6)
	assert.Contains(t, kinds(judgeAsNorth(older)), SignatureOutdated)
}

func TestAcceptedPinReplacesTheBrokenOne(t *testing.T) {
	east, west := newMember(t, "east", 1).sign(7), newMember(t, "west", 2).sign(7)
	other := newMember(t, "west", 2).sign(3)
	pin, err := identity.PinOf(other.datacenter.CACertificate)
	require.NoError(t, err)
	ledger := judgeAll(catalogOf(10, east, west), catalogOf(11, east, other)).Ledger.WithPin("west", pin)
	got := Judge("east/gw", ledger, catalogOf(11, east, other))
	assert.Equal(t, catalogOf(11, east, other), got.Catalog)
	assert.Empty(t, got.Findings)
}

func TestCatalogWithoutThisGatewayIsReturnedAsItIs(t *testing.T) {
	east, west := newMember(t, "east", 1).sign(7), newMember(t, "west", 2).sign(7)
	before := judgeAll(catalogOf(10, east, west)).Ledger
	got := Judge("east/gw", before, catalogOf(11, west))
	assert.Equal(t, catalogOf(11, west), got.Catalog)
	assert.Equal(t, before, got.Ledger, "nothing is forgotten")
}

func TestProblemsNameSubjectAndRemedy(t *testing.T) {
	for _, kind := range []Kind{PinBroken, SignatureMissing, SignatureInvalid, SignatureOutdated, RecordConflict, Unsigned} {
		for _, gateway := range []string{"", "gw"} {
			p := Finding{Kind: kind, Datacenter: "west", Gateway: gateway, Detail: "detail"}.problem("pin")
			assert.Contains(t, p.Message, p.Subject, "%s", kind)
			assert.NotEmpty(t, p.Remedy, "%s", kind)
		}
	}
	p := Finding{Kind: FederationChanged, Detail: "fd66::/48"}.problem("")
	assert.Contains(t, p.Message, "fd66::/48")
}

// large returns a federation of n datacenters with two gateways each.
func large(b *testing.B, n int) plan.Catalog {
	b.Helper()
	var c plan.Catalog
	for i := range n {
		m := newMember(b, catalog.DatacenterName(fmt.Sprintf("dc%03d", i)), byte(i)).sign(7)
		one := catalogOf(10, m)
		for second := range 2 {
			g := m.copy()
			g.gateway.Name, g.gateway.PublicKey = fmt.Sprint("gw", second), catalog.Key{byte(i), byte(second), 1}
			g.gateway.Overlay = netip.AddrFrom16([16]byte{0: 0xfd, 13: byte(i), 15: byte(second)})
			g.signGateway(7)
			c.Gateways = append(c.Gateways, g.gateway)
		}
		c.Federation, c.Datacenters = one.Federation, append(c.Datacenters, one.Datacenters...)
	}
	c.Index = 10
	return c
}

// BenchmarkJudge verifies 100 datacenters with two gateways each: at first sight, and
// after a restart with a ledger on disk.
func BenchmarkJudge(b *testing.B) {
	c := large(b, 100)
	first := Ledger{FederationID: federationID}
	text, err := json.Marshal(Judge("dc000/gw0", first, c).Ledger)
	require.NoError(b, err)
	b.Run("first sight", func(b *testing.B) {
		for b.Loop() {
			if v := Judge("dc000/gw0", first, c); len(v.Findings) > 0 || len(v.Catalog.Gateways) != 200 {
				b.Fatal(v.Findings)
			}
		}
	})
	b.Run("restart", func(b *testing.B) {
		b.ReportMetric(float64(len(text)), "B/ledger")
		for b.Loop() {
			var loaded Ledger
			if err := json.Unmarshal(text, &loaded); err != nil {
				b.Fatal(err)
			}
			if v := Judge("dc000/gw0", loaded, c); v.Changed || len(v.Catalog.Gateways) != 200 {
				b.Fatal(v.Findings)
			}
		}
	})
}
