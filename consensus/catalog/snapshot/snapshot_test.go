package snapshot_test

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/catalogpb"
	"github.com/meshway/meshway/consensus/catalog/snapshot"
)

func federation(name string) *catalogpb.Record {
	return &catalogpb.Record{Body: &catalogpb.Record_Federation{Federation: &catalogpb.Federation{Name: name}}}
}

func written(t *testing.T, index uint64, records ...*catalogpb.Record) []byte {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, snapshot.Write(&b, index, slices.Values(records)))
	return b.Bytes()
}

func read(b []byte) (uint64, []*catalogpb.Record, error) {
	var records []*catalogpb.Record
	index, err := snapshot.Read(iotest.OneByteReader(bytes.NewReader(b)), func(r *catalogpb.Record) error {
		records = append(records, r)
		return nil
	})
	return index, records, err
}

func TestRecordsAreReadAsTheyWereWritten(t *testing.T) {
	for _, want := range [][]*catalogpb.Record{nil, {federation("a"), federation("b")}} {
		index, records, err := read(written(t, 7, want...))
		require.NoError(t, err)
		assert.Equal(t, uint64(7), index)
		require.Len(t, records, len(want))
		for i := range want {
			assert.True(t, proto.Equal(want[i], records[i]))
		}
	}
}

func TestTruncatedSnapshotIsRefused(t *testing.T) {
	whole := written(t, 7, federation("a"), federation("b"))
	for n := range whole {
		_, _, err := read(whole[:n])
		require.ErrorIs(t, err, snapshot.ErrInvalid, "first %d bytes", n)
	}
	_, _, err := read(append(whole, 0))
	require.ErrorIs(t, err, snapshot.ErrInvalid)
}

func TestAlteredSnapshotIsRefused(t *testing.T) {
	whole := written(t, 7, federation("a"), federation("b"))
	for i := range whole {
		altered := bytes.Clone(whole)
		altered[i] ^= 0x41
		_, _, err := read(altered)
		require.ErrorIs(t, err, snapshot.ErrInvalid, "byte %d", i)
	}
}

func TestSizeThatNoRecordHasIsRefused(t *testing.T) {
	for _, size := range []int{catalog.MaxRecordSize + 1, 1<<31 - 1} {
		var varint []byte
		for n := size; n > 0; n >>= 7 {
			varint = append(varint, byte(n&0x7f)|0x80)
		}
		_, _, err := read(append(varint, 0))
		require.ErrorIs(t, err, snapshot.ErrInvalid)
		require.ErrorContains(t, err, "more than")
	}
}

func TestRecordThatCannotBeAddedMakesTheSnapshotInvalid(t *testing.T) {
	failure := errors.New("repeated")
	_, err := snapshot.Read(bytes.NewReader(written(t, 7, federation("a"))), func(*catalogpb.Record) error { return failure })
	require.ErrorIs(t, err, failure)
	require.ErrorIs(t, err, snapshot.ErrInvalid)
}

func TestErrorsOfReaderAndWriterAreReturned(t *testing.T) {
	failure := errors.New("disk failure")
	_, err := snapshot.Read(iotest.ErrReader(failure), func(*catalogpb.Record) error { return nil })
	require.ErrorIs(t, err, failure)
	require.NotErrorIs(t, err, snapshot.ErrInvalid)
	r, w := io.Pipe()
	require.NoError(t, r.CloseWithError(failure))
	require.ErrorIs(t, snapshot.Write(w, 7, slices.Values([]*catalogpb.Record{federation("a")})), failure)
}
