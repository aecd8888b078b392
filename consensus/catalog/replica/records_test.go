package replica_test

import (
	"bytes"
	"crypto/sha256"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protodelim"
	"google.golang.org/protobuf/proto"

	"github.com/meshway/meshway/consensus/catalog/catalogpb"
)

// encodeRecords encodes records, the first of which should be a header, with a valid
// trailer. It is an implementation of the snapshot format independent of Encode.
func encodeRecords(t testing.TB, records []*catalogpb.Record) []byte {
	t.Helper()
	options := protodelim.MarshalOptions{MarshalOptions: proto.MarshalOptions{Deterministic: true}}
	var b bytes.Buffer
	for _, r := range records {
		_, err := options.MarshalTo(&b, r)
		require.NoError(t, err)
	}
	sum := sha256.Sum256(b.Bytes())
	_, err := options.MarshalTo(&b, &catalogpb.Record{Body: &catalogpb.Record_Trailer{Trailer: &catalogpb.Trailer{
		Records: uint64(len(records) - 1), Sha256: sum[:],
	}}})
	require.NoError(t, err)
	return b.Bytes()
}
