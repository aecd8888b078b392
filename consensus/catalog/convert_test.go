package catalog_test

import (
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/catalogpb"
)

func checkRoundTrip[T any, P any](t *testing.T, value T, proto func(T) P, from func(P) (T, error)) {
	t.Helper()
	got, err := from(proto(value))
	require.NoError(t, err)
	assert.Equal(t, value, got)
}

func TestConversionsRoundTrip(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 600, time.UTC)
	signature := catalog.Signature{Version: 7, Level: 1, Certificate: []byte("certificate"), Value: []byte("value")}
	datacenter := catalog.Datacenter{
		Name: "west", Ordinal: 2, CACertificate: []byte("ca"), JoinedAt: at, ModifiedIndex: 9, Signature: signature,
		Prefixes: []catalog.Prefix{
			{CIDR: netip.MustParsePrefix("10.2.0.0/16"), Kind: catalog.PodPrefix},
			{CIDR: netip.MustParsePrefix("10.3.0.0/16"), Kind: catalog.ServicePrefix},
			{CIDR: netip.MustParsePrefix("fd00::/64"), Kind: catalog.NodePrefix},
		},
	}
	gateway := catalog.Gateway{
		Datacenter: "west", Name: "gw0", Index: 1, PublicKey: catalog.Key{1}, Overlay: netip.MustParseAddr("fd12::1"),
		Endpoints: []string{"192.0.2.1:51820"}, Controls: []string{"192.0.2.1:7777"}, Version: "v1", Draining: true,
		Witness: true, ModifiedIndex: 9, Signature: signature,
	}
	for _, f := range []catalog.Federation{
		{}, {ID: "id", Name: "demo", Overlay: netip.MustParsePrefix("fd12::/48"), CreatedAt: at, NextOrdinal: 3},
	} {
		checkRoundTrip(t, f, catalog.Federation.Proto, catalog.FederationFromProto)
	}
	for _, d := range []catalog.Datacenter{{}, datacenter} {
		checkRoundTrip(t, d, catalog.Datacenter.Proto, catalog.DatacenterFromProto)
	}
	for _, g := range []catalog.Gateway{{}, gateway} {
		checkRoundTrip(t, g, catalog.Gateway.Proto, catalog.GatewayFromProto)
	}
	for _, k := range []catalog.Token{{}, {
		ID: "t1", SecretHash: catalog.HashSecret([]byte("secret")), Datacenter: "west", CreatedBy: "east/gw0",
		CreatedAt: at, ExpiresAt: at.Add(time.Hour), UsedBy: "west", UsedAt: at, Revoked: true,
	}} {
		checkRoundTrip(t, k, catalog.Token.Proto, catalog.TokenFromProto)
	}
	for _, s := range []catalog.Service{{}, {
		ServiceKey: catalog.ServiceKey{Datacenter: "west", Namespace: "default", Name: "web", Instance: "a"},
		Owner:      "west/gw0", Address: netip.MustParseAddr("10.2.0.1"), ModifiedIndex: 9,
		Ports: []catalog.Port{{Name: "http", Protocol: "tcp", Number: 80}}, Labels: map[string]string{"a": "b"},
	}} {
		checkRoundTrip(t, s, catalog.Service.Proto, catalog.ServiceFromProto)
	}
	for _, o := range []catalog.Observation{{}, {
		Observer: "west/gw0", Peer: "east/gw0", Endpoint: netip.MustParseAddrPort("192.0.2.1:51820"), At: at, ModifiedIndex: 9,
	}} {
		checkRoundTrip(t, o, catalog.Observation.Proto, catalog.ObservationFromProto)
	}
	refusal := &catalog.Refusal{Code: "c", Field: "f", Message: "m", Remedy: "r"}
	for _, r := range []catalog.Result{
		{}, {Index: 7, Refusal: refusal}, {Index: 8, Datacenter: datacenter, Gateway: gateway},
	} {
		checkRoundTrip(t, r, catalog.Result.Proto, catalog.ResultFromProto)
	}
	for _, c := range []*catalog.Client{{}, {
		Author: "west/gw0", ID: "c", Acknowledged: 4, LastSeen: at,
		Results: []catalog.StoredResult{{Sequence: 5, Index: 7, Refusal: refusal}, {Sequence: 6, Index: 8}},
	}} {
		checkRoundTrip(t, c, (*catalog.Client).Proto, catalog.ClientFromProto)
	}
}

func TestConversionsOfExportsRoundTrip(t *testing.T) {
	key := catalog.ExportKey{Datacenter: "west", Namespace: "default", Name: "web"}
	ports := []catalog.ExportPort{{Name: "http", Protocol: "tcp", Number: 80, AppProtocol: "http"}}
	for _, e := range []catalog.Export{{}, {
		ExportKey: key, Type: catalog.Headless, Ports: ports, SessionAffinity: catalog.ClientIPAffinity, SessionAffinitySeconds: 60,
		IPFamilies: []catalog.IPFamily{catalog.IPv6, catalog.IPv4}, InternalTrafficPolicy: "Local", TrafficDistribution: "PreferClose",
		Labels: map[string]string{"a": "b"}, Annotations: map[string]string{"c": "d"}, Affinity: catalog.AffinityLocal, Mirror: true,
		CreatedAt: time.Date(2026, 1, 2, 3, 4, 5, 600, time.UTC), ModifiedIndex: 9,
	}} {
		checkRoundTrip(t, e, catalog.Export.Proto, catalog.ExportFromProto)
	}
	for _, s := range []catalog.EndpointSlice{{}, {
		EndpointSliceKey: catalog.EndpointSliceKey{ExportKey: key, Slice: "web-abc"}, Ports: ports, ModifiedIndex: 9,
		Endpoints: []catalog.Endpoint{{
			Address: netip.MustParseAddr("10.2.0.1"), Ready: true, Hostname: "a", Zone: "z", Terminating: true,
		}},
	}} {
		checkRoundTrip(t, s, catalog.EndpointSlice.Proto, catalog.EndpointSliceFromProto)
	}
}

func TestConversionErrorsNameTheField(t *testing.T) {
	for field, err := range map[string]error{
		"overlay":         errorOf(catalog.FederationFromProto(&catalogpb.Federation{Overlay: "x"})),
		"prefixes[0]":     errorOf(catalog.DatacenterFromProto(&catalogpb.Datacenter{Prefixes: []*catalogpb.Prefix{{Cidr: "10.0.0.0/8"}}})),
		"joined_at":       errorOf(catalog.DatacenterFromProto(&catalogpb.Datacenter{JoinedAt: &timestamppb.Timestamp{Nanos: -1}})),
		"public_key":      errorOf(catalog.GatewayFromProto(&catalogpb.Gateway{PublicKey: make([]byte, 33)})),
		"overlay_address": errorOf(catalog.GatewayFromProto(&catalogpb.Gateway{OverlayAddress: "10.0.0"})),
		"secret_hash":     errorOf(catalog.TokenFromProto(&catalogpb.Token{SecretHash: make([]byte, 31)})),
		"ports[0]":        errorOf(catalog.ServiceFromProto(&catalogpb.Service{Ports: []*catalogpb.Port{{Number: 65536}}})),
		"created_at":      errorOf(catalog.ExportFromProto(&catalogpb.Export{CreatedAt: &timestamppb.Timestamp{Nanos: -1}})),
		"endpoints[0].address": errorOf(catalog.EndpointSliceFromProto(&catalogpb.EndpointSlice{
			Endpoints: []*catalogpb.Endpoint{{Address: "10.1"}},
		})),
		"endpoint": errorOf(catalog.ObservationFromProto(&catalogpb.Observation{Endpoint: "1.2.3.4"})),
	} {
		var r *catalog.Refusal
		require.ErrorAs(t, err, &r, field)
		assert.Equal(t, field, r.Field)
	}
	_, err := catalog.ResultFromProto(&catalogpb.Result{Gateway: &catalogpb.Gateway{PublicKey: []byte{1}}})
	require.Error(t, err)
}

func errorOf[T any](_ T, err error) error { return err }
