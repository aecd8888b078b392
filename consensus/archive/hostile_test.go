package archive_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/consensus/archive"
	"github.com/meshway/meshway/consensus/archive/archivetest"
	"github.com/meshway/meshway/consensus/consensustest"
)

// TestHostileArchiveIsRefusedAtSmallCost has archives that a member could send an operator.
// Each is refused with one clear error, in a fraction of the memory of what it unpacks to.
func TestHostileArchiveIsRefusedAtSmallCost(t *testing.T) {
	valid := pack(t)
	info, err := archive.Inspect(valid)
	require.NoError(t, err)
	meta, err := json.Marshal(info)
	require.NoError(t, err)
	// The smallest record that sets a field, twice as often as an archive may have records.
	records := bytes.Repeat([]byte{2, 0x12, 0}, 2<<20)
	large := append(binary.AppendUvarint(nil, 1<<20), make([]byte, 1<<20)...)
	for name, test := range map[string]struct {
		archive []byte
		want    string
	}{
		"zeros":             {archivetest.Forge(t, info, make([]byte, 20<<20)), "more than 1048576 records"},
		"many records":      {archivetest.Forge(t, info, records), "more than 1048576 records"},
		"one large record":  {archivetest.Forge(t, info, large), "not a valid snapshot of a catalog"},
		"another size":      {archivetest.Tar(t, archivetest.File{Name: "meta.json", Content: meta}, archivetest.File{Name: "catalog.bin", Content: make([]byte, 20<<20)}), "was altered"},
		"another checksum":  {archivetest.Tar(t, archivetest.File{Name: "meta.json", Content: meta}, archivetest.File{Name: "catalog.bin", Content: make([]byte, info.Size)}), "was altered"},
		"large description": {archivetest.Tar(t, archivetest.File{Name: "meta.json", Content: make([]byte, 20<<20)}), "the maximum is 65536"},
		"long name":         {archivetest.Tar(t, archivetest.File{Name: strings.Repeat("n", 900<<10)}), "should be"},
		"truncated":         {valid[:len(valid)/2], "EOF"},
		"bytes at the end":  {append(bytes.Clone(valid), 0), "data follows"},
		"two archives":      {append(bytes.Clone(valid), valid...), "data follows"},
		"a third file": {archivetest.Tar(t, archivetest.File{Name: "meta.json", Content: meta},
			archivetest.File{Name: "catalog.bin", Content: consensustest.Encode(t, newView(t))}, archivetest.File{Name: "more"}), "data follows"},
	} {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err := archive.Inspect(test.archive)
			runtime.ReadMemStats(&after)
			require.ErrorIs(t, err, archive.ErrInvalid)
			require.ErrorContains(t, err, test.want)
			assert.Less(t, len(err.Error()), 300, "one clear error")
			assert.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(8<<20), "bytes allocated")
		})
	}
}
