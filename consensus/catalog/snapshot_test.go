package catalog_test

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protodelim"
	"google.golang.org/protobuf/proto"

	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/catalogpb"
)

func encode(t testing.TB, v *catalog.View) []byte {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, v.Encode(&b))
	return b.Bytes()
}

// full has something in every table.
func full(t testing.TB) *members {
	t.Helper()
	m := federationOfThree(t)
	m.token("open", "south")
	m.must(westGateway, catalog.NewPutServices([]catalog.Service{theService("west", "web", "a", "10.2.0.1")}))
	m.must(westGateway, catalog.NewPutObservations(observations(eastGateway)))
	m.must(westGateway, catalog.NewPutExports([]catalog.Export{theExport("west", "web"), theExport("west", "api")}))
	m.must(westGateway, catalog.NewPutEndpoints([]catalog.EndpointSlice{
		theSlice("west", "web", "web-abc12", "10.2.0.1", "10.2.0.2"), theSlice("west", "web", "web-xyz89"),
	}))
	m.must(westGateway, catalog.NewDeleteEndpoints([]catalog.EndpointSliceKey{theSlice("west", "web", "web-none").EndpointSliceKey}))
	m.must(westGateway, catalog.NewDeleteExports([]catalog.ExportKey{theExport("west", "none").ExportKey}))
	m.version(westGateway, 1, 0, "v1")
	m.version(eastGateway, 5, 4, "v2")
	m.entry(m.numbered(westGateway, 2, 0, catalog.NewLeave("east")))
	return m
}

func TestSnapshotRestoresEverything(t *testing.T) {
	m := full(t)
	snapshot := encode(t, m.state.View())
	restored, err := catalog.Decode(iotest.OneByteReader(bytes.NewReader(snapshot)))
	require.NoError(t, err)
	assert.Equal(t, contents(m.state.View()), contents(restored.View()))
	assert.Equal(t, m.index, restored.View().Index())
	assert.Equal(t, snapshot, encode(t, restored.View()))

	want := m.version(westGateway, 1, 0, "v1")
	m.state = restored
	m.index--
	assert.Equal(t, want, m.version(westGateway, 1, 0, "v1"), "results survive")
}

func TestEmptyCatalogHasASnapshot(t *testing.T) {
	restored, err := catalog.Decode(bytes.NewReader(encode(t, catalog.New().View())))
	require.NoError(t, err)
	assert.Zero(t, restored.View().Index())
}

func TestTruncatedSnapshotIsRefused(t *testing.T) {
	snapshot := encode(t, full(t).state.View())
	for n := range snapshot {
		_, err := catalog.Decode(bytes.NewReader(snapshot[:n]))
		require.ErrorIs(t, err, catalog.ErrSnapshot, "first %d bytes", n)
	}
	_, err := catalog.Decode(bytes.NewReader(append(snapshot, 0)))
	require.ErrorIs(t, err, catalog.ErrSnapshot)
}

func TestAlteredSnapshotIsRefused(t *testing.T) {
	snapshot := encode(t, full(t).state.View())
	for i := range snapshot {
		altered := bytes.Clone(snapshot)
		altered[i] ^= 0x41
		_, err := catalog.Decode(bytes.NewReader(altered))
		require.ErrorIs(t, err, catalog.ErrSnapshot, "byte %d", i)
	}
}

func TestBadSnapshotLeavesTheStateAsItIs(t *testing.T) {
	m := full(t)
	before := encode(t, m.state.View())
	changed := m.state.Changed()
	require.ErrorIs(t, m.state.Restore(bytes.NewReader(before[:len(before)-1])), catalog.ErrSnapshot)
	assert.Equal(t, before, encode(t, m.state.View()))
	assert.False(t, closed(changed))
}

func TestReadAndWriteErrorsOfSnapshotsAreGivenBack(t *testing.T) {
	broken := errors.New("disk on fire")
	_, err := catalog.Decode(iotest.ErrReader(broken))
	require.ErrorIs(t, err, broken)
	require.NotErrorIs(t, err, catalog.ErrSnapshot)
	r, w := io.Pipe()
	require.NoError(t, r.CloseWithError(broken))
	require.ErrorIs(t, full(t).state.View().Encode(w), broken)
}

// resealed lets a test alter the records of a snapshot and counts and sums anew.
func resealed(t *testing.T, snapshot []byte, alter func([]*catalogpb.Record) []*catalogpb.Record) []byte {
	t.Helper()
	var records []*catalogpb.Record
	for r := bytes.NewReader(snapshot); r.Len() > 0; {
		record := &catalogpb.Record{}
		require.NoError(t, protodelim.UnmarshalFrom(r, record))
		records = append(records, record)
	}
	return seal(t, alter(records[:len(records)-1]))
}

func TestSnapshotWhoseRecordsDoNotFitIsRefused(t *testing.T) {
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
	snapshot := encode(t, full(t).state.View())
	same := resealed(t, snapshot, func(l list) list { return l })
	require.Equal(t, snapshot, same)
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
		_, err := catalog.Decode(bytes.NewReader(resealed(t, snapshot, alter)))
		require.ErrorIs(t, err, catalog.ErrSnapshot, name)
	}
	for i := range resealedCount(t, snapshot) {
		_, err := catalog.Decode(bytes.NewReader(resealed(t, snapshot, func(l list) list {
			return append(l, proto.CloneOf(l[i]))
		})))
		require.ErrorIs(t, err, catalog.ErrSnapshot, "record %d twice", i)
	}
}

func resealedCount(t *testing.T, snapshot []byte) (n int) {
	t.Helper()
	resealed(t, snapshot, func(l []*catalogpb.Record) []*catalogpb.Record { n = len(l); return l })
	return n
}
