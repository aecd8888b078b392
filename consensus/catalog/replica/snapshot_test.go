package replica_test

import (
	"bytes"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protodelim"
	"google.golang.org/protobuf/proto"

	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/catalogpb"
	"github.com/meshway/meshway/consensus/catalog/replica"
	"github.com/meshway/meshway/consensus/catalog/snapshot"
)

func encode(t testing.TB, v *replica.View) []byte {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, v.Encode(&b))
	return b.Bytes()
}

// populated has a record in every table.
func populated(t testing.TB) *members {
	t.Helper()
	m := federationOfThree(t)
	m.token("open", "south")
	m.must(westGateway, catalog.NewPutServices([]catalog.Service{testService("west", "web", "a", "10.2.0.1")}))
	m.must(westGateway, catalog.NewPutObservations(observations(eastGateway)))
	m.must(westGateway, catalog.NewPutExports([]catalog.Export{testExport("west", "web"), testExport("west", "api")}))
	m.must(westGateway, catalog.NewPutEndpoints([]catalog.EndpointSlice{
		testSlice("west", "web", "web-abc12", "10.2.0.1", "10.2.0.2"), testSlice("west", "web", "web-xyz89"),
	}))
	m.must(westGateway, catalog.NewDeleteEndpoints([]catalog.EndpointSliceKey{testSlice("west", "web", "web-none").EndpointSliceKey}))
	m.must(westGateway, catalog.NewDeleteExports([]catalog.ExportKey{testExport("west", "none").ExportKey}))
	m.version(westGateway, 1, 0, "v1")
	m.version(eastGateway, 5, 4, "v2")
	m.entry(m.numbered(westGateway, 2, 0, catalog.NewLeave("east")))
	return m
}

func TestSnapshotRestoresEverything(t *testing.T) {
	m := populated(t)
	encoded := encode(t, m.state.View())
	restored, err := replica.Decode(iotest.OneByteReader(bytes.NewReader(encoded)))
	require.NoError(t, err)
	assert.Equal(t, contents(m.state.View()), contents(restored.View()))
	assert.Equal(t, m.index, restored.View().Index())
	assert.Equal(t, encoded, encode(t, restored.View()))

	want := m.version(westGateway, 1, 0, "v1")
	m.state = restored
	m.index--
	assert.Equal(t, want, m.version(westGateway, 1, 0, "v1"), "results are part of the snapshot")
}

func TestEmptyCatalogHasASnapshot(t *testing.T) {
	restored, err := replica.Decode(bytes.NewReader(encode(t, replica.New().View())))
	require.NoError(t, err)
	assert.Zero(t, restored.View().Index())
}

func TestInvalidSnapshotDoesNotChangeTheState(t *testing.T) {
	m := populated(t)
	before := encode(t, m.state.View())
	changed := m.state.Changed()
	require.ErrorIs(t, m.state.Restore(bytes.NewReader(before[:len(before)-1])), snapshot.ErrInvalid)
	assert.Equal(t, before, encode(t, m.state.View()))
	assert.False(t, isClosed(changed))
}

// decodeRecords returns the records of a snapshot, without the trailer.
func decodeRecords(t testing.TB, encoded []byte) []*catalogpb.Record {
	t.Helper()
	var records []*catalogpb.Record
	for r := bytes.NewReader(encoded); r.Len() > 0; {
		record := &catalogpb.Record{}
		require.NoError(t, protodelim.UnmarshalFrom(r, record))
		records = append(records, record)
	}
	return records[:len(records)-1]
}

// reencode alters the records of a snapshot and encodes them with a valid trailer.
func reencode(t testing.TB, encoded []byte, alter func([]*catalogpb.Record) []*catalogpb.Record) []byte {
	t.Helper()
	return encodeRecords(t, alter(decodeRecords(t, encoded)))
}

func TestSnapshotWithInconsistentRecordsIsRefused(t *testing.T) {
	type list = []*catalogpb.Record
	without := func(drop func(*catalogpb.Record) bool) func(list) list {
		return func(records list) (left list) {
			for _, r := range records {
				if !drop(r) {
					left = append(left, r)
				}
			}
			return left
		}
	}
	encoded := encode(t, populated(t).state.View())
	same := reencode(t, encoded, func(l list) list { return l })
	require.Equal(t, encoded, same)
	for name, alter := range map[string]func(list) list{
		"no header":     func(l list) list { return l[1:] },
		"newer":         func(l list) list { l[0].GetHeader().Version++; return l },
		"two headers":   func(l list) list { return append(list{l[0]}, l...) },
		"unknown kind":  func(l list) list { return append(l, &catalogpb.Record{}) },
		"no federation": without(func(r *catalogpb.Record) bool { return r.GetFederation() != nil }),
		"no datacenter": without(func(r *catalogpb.Record) bool { return r.GetDatacenter().GetName() == "west" }),
		"no gateway":    without(func(r *catalogpb.Record) bool { return r.GetGateway().GetDatacenter() == "west" }),
		"bad prefix":    func(l list) list { l[2].GetDatacenter().Prefixes[0].Cidr = "x"; return l },
	} {
		_, err := replica.Decode(bytes.NewReader(reencode(t, encoded, alter)))
		require.ErrorIs(t, err, snapshot.ErrInvalid, name)
	}
	for i := range decodeRecords(t, encoded) {
		_, err := replica.Decode(bytes.NewReader(reencode(t, encoded, func(l list) list {
			return append(l, proto.CloneOf(l[i]))
		})))
		require.ErrorIs(t, err, snapshot.ErrInvalid, "record %d twice", i)
	}
}
