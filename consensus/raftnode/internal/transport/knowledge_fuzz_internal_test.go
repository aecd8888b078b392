package transport

import (
	"runtime"
	"testing"

	"github.com/hashicorp/raft"
	"github.com/stretchr/testify/require"
)

// FuzzConfiguration checks that a configuration that a member sends is refused, or read
// by raft without a panic, and that reading it costs no more than its size justifies.
func FuzzConfiguration(f *testing.F) {
	f.Add(raft.EncodeConfiguration(raft.Configuration{Servers: []raft.Server{{ID: "east/gw", Address: "east/gw"}, {ID: "west/gw", Address: "west/gw", Suffrage: raft.Nonvoter}}}))
	f.Add(raft.EncodeConfiguration(raft.Configuration{}))
	f.Add([]byte{0x81, 0xa7, 'S', 'e', 'r', 'v', 'e', 'r', 's', 0xdd, 0x7f, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, data []byte) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		err := checkConfiguration(data)
		runtime.ReadMemStats(&after)
		require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(8<<20), "%d bytes", len(data))
		if err == nil {
			require.NotEmpty(t, raft.DecodeConfiguration(data).Servers)
		}
	})
}
