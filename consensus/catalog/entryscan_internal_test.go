package catalog

import (
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/meshway/meshway/consensus/catalog/catalogpb"
)

// FuzzEntryScan checks that an entry which is not decoded is one that the decoder accepts, and
// whose commands this build supports.
func FuzzEntryScan(f *testing.F) {
	labels := map[string]string{"tier": "front"}
	for _, cmd := range []*catalogpb.Command{
		NewRemoveDatacenter("west", true), NewRemoveGateway("west/gw"), NewAddGateway(Gateway{Datacenter: "west", Name: "gw", Draining: true}),
		NewPutServices([]Service{{ServiceKey: ServiceKey{Datacenter: "west", Namespace: "shop", Name: "web", Instance: "a"}, Labels: labels}}),
	} {
		entry, err := Marshal(cmd, cmd)
		require.NoError(f, err)
		require.True(f, newEntryScan().supported(entry))
		f.Add(entry)
		f.Add(protowire.AppendVarint(protowire.AppendTag(entry, 2, protowire.VarintType), 1))
		cmd.Version = Level + 1
		entry, err = Marshal(cmd)
		require.NoError(f, err)
		require.False(f, newEntryScan().supported(entry))
		f.Add(entry)
	}
	f.Add([]byte{0x0a, 0x00})
	f.Fuzz(func(t *testing.T, entry []byte) {
		if !newEntryScan().supported(entry) {
			return
		}
		cmds, err := Unmarshal(entry)
		require.NoError(t, err)
		for _, cmd := range cmds {
			require.NoError(t, CheckSupported(cmd))
		}
	})
}
