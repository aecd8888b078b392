package catalog_test

import (
	"testing"

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
	c := contents(populated(t).state.View())
	for _, f := range []catalog.Federation{{}, c.Federation} {
		checkRoundTrip(t, f, catalog.Federation.Proto, catalog.FederationFromProto)
	}
	for _, d := range append(c.Datacenters, catalog.Datacenter{}) {
		checkRoundTrip(t, d, catalog.Datacenter.Proto, catalog.DatacenterFromProto)
	}
	for _, g := range append(c.Gateways, catalog.Gateway{}, catalog.Gateway{Draining: true}) {
		checkRoundTrip(t, g, catalog.Gateway.Proto, catalog.GatewayFromProto)
	}
	for _, k := range append(c.Tokens, catalog.Token{}) {
		checkRoundTrip(t, k, catalog.Token.Proto, catalog.TokenFromProto)
	}
	for _, s := range append(c.Services, catalog.Service{}) {
		checkRoundTrip(t, s, catalog.Service.Proto, catalog.ServiceFromProto)
	}
	for _, o := range append(c.Observations, catalog.Observation{}) {
		checkRoundTrip(t, o, catalog.Observation.Proto, catalog.ObservationFromProto)
	}
	for _, e := range append(c.Exports, catalog.Export{}) {
		checkRoundTrip(t, e, catalog.Export.Proto, catalog.ExportFromProto)
	}
	for _, s := range append(c.Endpoints, catalog.EndpointSlice{}) {
		checkRoundTrip(t, s, catalog.EndpointSlice.Proto, catalog.EndpointSliceFromProto)
	}
	refusal := &catalog.Refusal{Code: "c", Field: "f", Message: "m", Remedy: "r"}
	for _, r := range []catalog.Result{
		{}, {Index: 7, Refusal: refusal}, {Index: 8, Datacenter: c.Datacenters[0], Gateway: c.Gateways[0]},
	} {
		checkRoundTrip(t, r, catalog.Result.Proto, catalog.ResultFromProto)
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
