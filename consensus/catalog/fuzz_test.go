package catalog_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/catalogpb"
)

// FuzzUnmarshal checks that the data of a log entry is refused, or decoded to commands
// whose encoding decodes to the same commands.
func FuzzUnmarshal(f *testing.F) {
	for _, command := range []*catalogpb.Command{
		catalog.NewRemoveDatacenter("west", true), catalog.NewRemoveGateway("west/gw"), catalog.NewAddGateway(catalog.Gateway{Datacenter: "west", Name: "gw"}),
	} {
		entry, err := catalog.Marshal(command, command)
		require.NoError(f, err)
		f.Add(entry)
	}
	f.Add([]byte{0x0a, 0x00})
	f.Fuzz(func(t *testing.T, entry []byte) {
		commands, err := catalog.Unmarshal(entry)
		if err != nil {
			return
		}
		encoded, err := catalog.Marshal(commands...)
		require.NoError(t, err)
		again, err := catalog.Unmarshal(encoded)
		require.NoError(t, err)
		require.Len(t, again, len(commands))
		for i := range commands {
			require.True(t, proto.Equal(commands[i], again[i]))
			require.Equal(t, catalog.CheckSupported(commands[i]) == nil, catalog.CheckSupported(again[i]) == nil)
		}
	})
}

// FuzzRecords checks that a record that a member writes is refused, or read to one whose
// encoding is read to the same record.
func FuzzRecords(f *testing.F) {
	for _, record := range []proto.Message{
		catalog.Gateway{Datacenter: "west", Name: "gw", Endpoints: []string{"192.0.2.1:51820"}}.Proto(),
		catalog.Export{ExportKey: catalog.ExportKey{Datacenter: "west", Namespace: "shop", Name: "web"}, Ports: []catalog.ExportPort{{Name: "http", Protocol: "tcp", Number: 80}}}.Proto(),
		&catalogpb.EndpointSlice{Endpoints: []*catalogpb.Endpoint{{Address: "10.1.0.1", Ready: true}}},
		&catalogpb.Datacenter{Name: "west", Prefixes: []*catalogpb.Prefix{{Cidr: "10.2.0.0/16"}}},
	} {
		data, err := proto.Marshal(record)
		require.NoError(f, err)
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		roundTrip(t, data, new(catalogpb.Datacenter), catalog.DatacenterFromProto, catalog.Datacenter.Proto)
		roundTrip(t, data, new(catalogpb.Gateway), catalog.GatewayFromProto, catalog.Gateway.Proto)
		roundTrip(t, data, new(catalogpb.Service), catalog.ServiceFromProto, catalog.Service.Proto)
		roundTrip(t, data, new(catalogpb.Observation), catalog.ObservationFromProto, catalog.Observation.Proto)
		roundTrip(t, data, new(catalogpb.Export), catalog.ExportFromProto, catalog.Export.Proto)
		roundTrip(t, data, new(catalogpb.EndpointSlice), catalog.EndpointSliceFromProto, catalog.EndpointSlice.Proto)
	})
}

func roundTrip[M proto.Message, R any](t *testing.T, data []byte, message M, fromProto func(M) (R, error), toProto func(R) M) {
	t.Helper()
	if proto.Unmarshal(data, message) != nil {
		return
	}
	record, err := fromProto(message)
	if err != nil {
		return
	}
	again, err := fromProto(toProto(record))
	require.NoError(t, err)
	require.Equal(t, record, again)
}
