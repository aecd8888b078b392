package replica_test

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/catalogpb"
	"github.com/meshway/meshway/consensus/catalog/replica"
)

func testSignature(version uint64) catalog.Signature {
	return catalog.Signature{Version: version, Level: 1, Certificate: []byte("certificate"), Value: []byte("value")}
}

func TestSignaturesOfRecordsAreStoredAsTheyAre(t *testing.T) {
	m := federationOfThree(t)
	g := testGateway("west", "gw0")
	dc := testDatacenter(t, "west", "10.2.0.0/16")
	for _, signature := range []catalog.Signature{testSignature(7), testSignature(8), testSignature(1), {}} {
		g.Signature, dc.Signature = signature, signature
		m.must(westGateway, catalog.NewUpdateGateway(g))
		m.must(westGateway, catalog.NewUpdateDatacenter(dc))
		storedGateway, _ := m.state.View().Gateway(westGateway)
		stored, _ := m.state.View().Datacenter("west")
		assert.Equal(t, signature, storedGateway.Signature)
		assert.Equal(t, signature, stored.Signature)
		assert.Equal(t, m.index, stored.ModifiedIndex)

		restored, err := replica.Decode(bytes.NewReader(encode(t, m.state.View())))
		require.NoError(t, err)
		assert.Equal(t, contents(m.state.View()), contents(restored.View()))
	}
}

func TestCopyOfARecordHasItsOwnSignature(t *testing.T) {
	m := federationOfThree(t)
	g := testGateway("west", "gw0")
	g.Signature = testSignature(7)
	m.must(westGateway, catalog.NewUpdateGateway(g))
	changed, _ := m.state.View().Gateway(westGateway)
	changed.Signature.Value[0], changed.Signature.Certificate[0] = 'x', 'x'
	stored, _ := m.state.View().Gateway(westGateway)
	assert.Equal(t, testSignature(7), stored.Signature)
}

func TestLargeSignatureIsRefused(t *testing.T) {
	m := federationOfThree(t)
	m.token("token-south", "")
	large := catalog.Signature{Version: 1, Certificate: make([]byte, 4<<10), Value: []byte{1}}
	g, dc := testGateway("west", "gw0"), testDatacenter(t, "west", "10.2.0.0/16")
	g.Signature, dc.Signature = large, large
	south := joinRequest(t, "token-south", "south", "10.4.0.0/16")
	south.Datacenter.Signature = large
	for name, command := range map[string]*catalogpb.Command{
		"gateway":                 catalog.NewUpdateGateway(g),
		"datacenter":              catalog.NewUpdateDatacenter(dc),
		"datacenter of a request": catalog.NewJoin(south),
	} {
		refusal := m.refused(westGateway, command, catalog.CodeTooLarge)
		assert.Contains(t, refusal.Field, "signature", name)
	}
}
