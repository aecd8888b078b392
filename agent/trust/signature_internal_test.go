package trust

import (
	"bytes"
	"net/netip"
	"reflect"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/consensus/catalog"
)

// change gives a field another value.
func change(t *testing.T, field reflect.Value) {
	t.Helper()
	switch value := field.Interface().(type) {
	case netip.Addr:
		field.Set(reflect.ValueOf(value.Next()))
	case time.Time:
		field.Set(reflect.ValueOf(value.Add(1)))
	case catalog.Key:
		value[31] ^= 1
		field.Set(reflect.ValueOf(value))
	case []byte:
		changed := bytes.Clone(value)
		changed[len(changed)-1] ^= 1
		field.SetBytes(changed)
	case []string:
		field.Set(reflect.ValueOf(append([]string{"192.0.2.66:1"}, value...)))
	case []catalog.Prefix:
		field.Set(reflect.ValueOf(append([]catalog.Prefix{{CIDR: netip.MustParsePrefix("10.66.0.0/16"), Kind: catalog.PodPrefix}}, value...)))
	case []catalog.Succession:
		field.Set(reflect.ValueOf(append([]catalog.Succession{{Predecessor: []byte("a")}}, value...)))
	case bool:
		field.SetBool(!value)
	default:
		switch field.Kind() {
		case reflect.String:
			field.SetString(field.String() + "x")
		case reflect.Uint32, reflect.Uint64:
			field.SetUint(field.Uint() + 1)
		default:
			t.Fatalf("cannot change a %s: add its type here and to the statement", field.Type())
		}
	}
}

// TestChangeOfAnyFieldIsDetected covers fields that are added later: they fail until
// the statement contains them.
func TestChangeOfAnyFieldIsDetected(t *testing.T) {
	west := newMember(t, "west", 2).sign(7)
	ca := west.ca.Certificate()
	tamper := func(record reflect.Value, verify func() error) {
		for i := range record.NumField() {
			name := record.Type().Field(i).Name
			field := record.Field(i)
			if name == "Signature" || name == "ModifiedIndex" || name == "FeatureLevel" {
				continue
			}
			former := reflect.New(field.Type()).Elem()
			former.Set(field)
			change(t, field)
			assert.Error(t, verify(), "%s.%s", record.Type(), name)
			field.Set(former)
			require.NoError(t, verify())
		}
	}
	g := west.gateway
	gateway := func() error { return NewSigners(federationID).VerifyGateway([][]byte{ca}, g) }
	tamper(reflect.ValueOf(&g).Elem(), gateway)
	tamper(reflect.ValueOf(&g.Signature).Elem(), gateway)
	dc := west.datacenter
	datacenter := func() error { return NewSigners(federationID).VerifyDatacenter(dc) }
	tamper(reflect.ValueOf(&dc).Elem(), datacenter)
	tamper(reflect.ValueOf(&dc.Signature).Elem(), datacenter)
}

func TestRecordIsSignedByItsOwner(t *testing.T) {
	west, east := newMember(t, "west", 2).sign(7), newMember(t, "east", 1).sign(7)
	gateway := func(certificateOf *member, name string) catalog.Gateway {
		g, err := SignGateway(certificateOf.certificate(name), federationID, west.gateway, 8)
		require.NoError(t, err)
		return g
	}
	datacenter := func(certificateOf *member) catalog.Datacenter {
		dc, err := SignDatacenter(certificateOf.certificate("gw"), federationID, west.datacenter, 8)
		require.NoError(t, err)
		return dc
	}
	// A CA that names another datacenter in its certificates.
	forged := datacenter(east)
	forged.CACertificate = east.datacenter.CACertificate
	forged, err := SignDatacenter(east.certificate("gw"), federationID, forged, 8)
	require.NoError(t, err)
	ca := west.ca.Certificate()
	signers := NewSigners(federationID)
	require.NoError(t, signers.VerifyGateway([][]byte{ca}, gateway(west, "gw")))
	require.NoError(t, signers.VerifyDatacenter(datacenter(west)))
	for name, err := range map[string]error{
		"a sibling signed":                    signers.VerifyGateway([][]byte{ca}, gateway(west, "gw2")),
		"another datacenter signed a gateway": signers.VerifyGateway([][]byte{ca}, gateway(east, "gw")),
		"another CA":                          signers.VerifyGateway([][]byte{east.ca.Certificate()}, gateway(west, "gw")),
		"another datacenter signed":           signers.VerifyDatacenter(datacenter(east)),
		"another datacenter under its own CA": signers.VerifyDatacenter(forged),
		"another federation":                  NewSigners("other").VerifyGateway([][]byte{ca}, gateway(west, "gw")),
		"the record of a datacenter, as that of a gateway": func() error {
			g := west.gateway
			g.Signature = west.datacenter.Signature
			return signers.VerifyGateway([][]byte{ca}, g)
		}(),
	} {
		assert.Error(t, err, name)
	}
}

// FuzzStatement looks for two records with the same statement.
func FuzzStatement(f *testing.F) {
	f.Add("west", "gw", "v1", "a:1", "b:1", "west", "gw", "v1", "a:1", "b:1")
	f.Add("west", "gw", "v1", "a:1", "", "west", "gwv1", "", "", "a:1")
	f.Fuzz(func(t *testing.T, dc1, name1, version1, endpoint1, control1, dc2, name2, version2, endpoint2, control2 string) {
		a := catalog.Gateway{Datacenter: catalog.DatacenterName(dc1), Name: name1, Version: version1, Endpoints: []string{endpoint1}, Controls: []string{control1}}
		b := catalog.Gateway{Datacenter: catalog.DatacenterName(dc2), Name: name2, Version: version2, Endpoints: []string{endpoint2}, Controls: []string{control2}}
		equal := reflect.DeepEqual(a, b)
		require.Equal(t, equal, bytes.Equal(gatewayStatement("f", a), gatewayStatement("f", b)))
	})
}

// BenchmarkJoin signs and verifies the two records of a datacenter that joins, as it and a
// gateway of another one do.
func BenchmarkJoin(b *testing.B) {
	west := newMember(b, "west", 2)
	certificate, ca := west.certificate("gw"), west.ca.Certificate()
	for b.Loop() {
		g, err := SignGateway(certificate, federationID, west.gateway, 7)
		require.NoError(b, err)
		dc, err := SignDatacenter(certificate, federationID, west.datacenter, 7)
		require.NoError(b, err)
		signers := NewSigners(federationID)
		require.NoError(b, signers.VerifyGateway([][]byte{ca}, g))
		require.NoError(b, signers.VerifyDatacenter(dc))
	}
}
