package entrycheck

import (
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/catalogpb"
)

// FuzzEntryScan checks that an entry which is not decoded is one that the decoder accepts, and
// whose commands this build supports.
func FuzzEntryScan(f *testing.F) {
	labels := map[string]string{"tier": "front"}
	for _, cmd := range []*catalogpb.Command{
		catalog.NewRemoveDatacenter("west", true), catalog.NewRemoveGateway("west/gw"), catalog.NewAddGateway(catalog.Gateway{Datacenter: "west", Name: "gw", Draining: true}),
		catalog.NewPutServices([]catalog.Service{{ServiceKey: catalog.ServiceKey{Datacenter: "west", Namespace: "shop", Name: "web", Instance: "a"}, Labels: labels}}),
	} {
		entry, err := catalog.Marshal(cmd, cmd)
		require.NoError(f, err)
		require.True(f, newEntryScan().supported(entry))
		f.Add(entry)
		f.Add(protowire.AppendVarint(protowire.AppendTag(entry, 2, protowire.VarintType), 1))
		cmd.Version = catalog.Level + 1
		entry, err = catalog.Marshal(cmd)
		require.NoError(f, err)
		require.False(f, newEntryScan().supported(entry))
		f.Add(entry)
	}
	f.Add([]byte{0x0a, 0x00})
	f.Fuzz(func(t *testing.T, entry []byte) {
		if !newEntryScan().supported(entry) {
			return
		}
		cmds, err := catalog.Unmarshal(entry)
		require.NoError(t, err)
		for _, cmd := range cmds {
			require.NoError(t, catalog.CheckSupported(cmd))
		}
	})
}
