package memdisk_test

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/consensus/consensustest/memdisk"
)

func TestADiskLosesWhatWasNotSynced(t *testing.T) {
	m := memdisk.New(rand.New(rand.NewPCG(1, 1)))
	f, err := m.Create("x")
	require.NoError(t, err)
	_, err = f.WriteAt(make([]byte, 4096), 0)
	require.NoError(t, err)
	require.NoError(t, f.Sync())
	payload := make([]byte, 2048)
	for i := range payload {
		payload[i] = 1
	}
	_, err = f.WriteAt(payload, 0)
	require.NoError(t, err)
	keeps := func(powerLost bool) bool {
		for range 20 {
			if !bytes.Equal(payload, m.Restart(powerLost).Files["x"].Seen[:len(payload)]) {
				return false
			}
		}
		return true
	}
	require.True(t, keeps(false))
	require.False(t, keeps(true))
	require.NoError(t, f.Sync())
	require.True(t, keeps(true))
}
