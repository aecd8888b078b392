package snapshot_test

import (
	"bytes"
	"encoding/binary"
	"runtime"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/catalogpb"
	"github.com/meshway/meshway/consensus/catalog/snapshot"
)

// repeated returns a record with many messages without content in a field of its body.
func repeated(body, field protowire.Number, times int) []byte {
	messages := bytes.Repeat(protowire.AppendBytes(protowire.AppendTag(nil, field, protowire.BytesType), nil), times)
	return protowire.AppendBytes(protowire.AppendTag(nil, body, protowire.BytesType), messages)
}

// A record of two bytes for each message would take fifty times as much in memory.
func TestRecordThatIsLargerThanItsKindIsRefusedBeforeItIsDecoded(t *testing.T) {
	whole := written(t, 7)
	header := whole[:whole[0]+1]
	const times = 1 << 20
	for name, record := range map[string][]byte{
		"prefixes of a datacenter": repeated(3, 4, times),
		"ranges in the settings":   repeated(12, 2, times),
		"limits in the settings":   repeated(12, 4, times),
		"results of a client":      repeated(8, 3, times),
		"a client and a datacenter": append(protowire.AppendBytes(protowire.AppendTag(nil, 8, protowire.BytesType), nil),
			repeated(3, 4, times)...),
	} {
		t.Run(name, func(t *testing.T) {
			stream := append(binary.AppendUvarint(bytes.Clone(header), uint64(len(record))), record...)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, _, err := readAtOnce(stream)
			runtime.ReadMemStats(&after)
			require.ErrorIs(t, err, snapshot.ErrInvalid)
			require.ErrorContains(t, err, "more than one of its kind")
			assert.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(8*len(record)))
		})
	}
}

func readAtOnce(b []byte) (uint64, []*catalogpb.Record, error) {
	var records []*catalogpb.Record
	index, err := snapshot.Read(bytes.NewReader(b), func(r *catalogpb.Record) error {
		records = append(records, r)
		return nil
	})
	return index, records, err
}

func TestLargestRecordsOfTheirKindAreRead(t *testing.T) {
	// Earlier builds stored results with records, which are unknown fields today.
	client := &catalogpb.Client{Id: "c", Results: map[uint64]*catalogpb.StoredResult{}}
	for i := range uint64(catalog.MaxOutstanding) {
		result := &catalogpb.StoredResult{Index: i}
		result.ProtoReflect().SetUnknown(protowire.AppendBytes(protowire.AppendTag(nil, 3, protowire.BytesType), make([]byte, 1000)))
		client.Results[i] = result
	}
	settings := &catalogpb.Settings{}
	for range catalog.MaxSettings {
		settings.Allowed = append(settings.Allowed, &catalogpb.AllowedPrefix{})
	}
	want := []*catalogpb.Record{
		{Body: &catalogpb.Record_Client{Client: client}},
		{Body: &catalogpb.Record_Settings{Settings: settings}},
		{Body: &catalogpb.Record_Datacenter{Datacenter: &catalogpb.Datacenter{CaCertificate: make([]byte, catalog.MaxCommandRecord-16)}}},
	}
	_, records, err := readAtOnce(written(t, 7, want...))
	require.NoError(t, err)
	require.Len(t, records, len(want))
	assert.Len(t, records[0].GetClient().GetResults(), catalog.MaxOutstanding)
	assert.True(t, proto.Equal(want[1], records[1]))
	assert.True(t, proto.Equal(want[2], records[2]))
}

func TestScanVisitsEachRecordOnceAndBoundsTheirNumber(t *testing.T) {
	large := &catalogpb.Record{Body: &catalogpb.Record_Datacenter{Datacenter: &catalogpb.Datacenter{CaCertificate: make([]byte, catalog.MaxCommandRecord)}}}
	whole := written(t, 7, federation("a"), large, federation("b"))
	var visited []string
	visit := func(record []byte) {
		var r catalogpb.Record
		require.NoError(t, proto.Unmarshal(record, &r))
		visited = append(visited, r.GetFederation().GetName())
	}
	require.NoError(t, snapshot.Scan(bytes.NewReader(whole), 5, visit))
	assert.Equal(t, []string{"", "a", "b", ""}, visited, "header, small records, trailer")
	require.ErrorIs(t, snapshot.Scan(bytes.NewReader(whole), 4, visit), snapshot.ErrInvalid)
	require.ErrorIs(t, snapshot.Scan(bytes.NewReader(whole[:len(whole)-1]), 5, visit), snapshot.ErrInvalid)
}
