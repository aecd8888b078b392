package replica_test

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/consensus/catalog/entrycheck"
	"github.com/meshway/meshway/consensus/catalog/replica"
	"github.com/meshway/meshway/consensus/catalog/snapshot"
)

// FuzzApply checks that Apply returns an error or one result per command for any
// entry, is deterministic, and never panics.
func FuzzApply(f *testing.F) {
	for _, entry := range populated(f).log {
		f.Add(entry)
	}
	f.Add([]byte{})
	f.Add([]byte{0x0a, 0x00})
	encoded := encode(f, federationOfThree(f).state.View())
	f.Fuzz(func(t *testing.T, entry []byte) {
		for _, from := range [][]byte{nil, encoded} {
			a, b := replica.New(), replica.New()
			if from != nil {
				require.NoError(t, a.Restore(bytes.NewReader(from)))
				require.NoError(t, b.Restore(bytes.NewReader(from)))
			}
			ra, errA := a.Apply(1000, entry)
			rb, errB := b.Apply(1000, entry)
			require.Equal(t, ra, rb)
			require.Equal(t, errA == nil, errB == nil)
			if entrycheck.Check(entry) == nil {
				require.NoError(t, errA)
			}
			after := encode(t, a.View())
			require.Equal(t, after, encode(t, b.View()))
			restored, err := replica.Decode(bytes.NewReader(after))
			require.NoError(t, err, "Decode accepts every state that Apply creates")
			require.Equal(t, after, encode(t, restored.View()))
		}
	})
}

// FuzzDecodeSnapshot checks that Decode returns ErrInvalid or a state whose encoding
// decodes to the same state.
func FuzzDecodeSnapshot(f *testing.F) {
	f.Add(encode(f, replica.New().View()))
	f.Add(encode(f, populated(f).state.View()))
	f.Add([]byte{0xff, 0xff, 0xff, 0x0f})
	f.Fuzz(func(t *testing.T, encoded []byte) {
		s, err := replica.Decode(bytes.NewReader(encoded))
		if err != nil {
			require.ErrorIs(t, err, snapshot.ErrInvalid)
			return
		}
		once := encode(t, s.View())
		again, err := replica.Decode(bytes.NewReader(once))
		require.NoError(t, err)
		require.Equal(t, once, encode(t, again.View()))
		require.Equal(t, contents(s.View()), contents(again.View()))
	})
}

// FuzzSnapshotRoundTrip checks that Decode reverses Encode for the states of random
// logs.
func FuzzSnapshotRoundTrip(f *testing.F) {
	f.Add(uint64(1), uint16(10))
	f.Add(uint64(2), uint16(300))
	f.Fuzz(func(t *testing.T, seed uint64, entries uint16) {
		log := newGenerator(t, rand.New(rand.NewPCG(seed, 2)))
		for range entries % 512 {
			log.entry()
		}
		s := log.state
		encoded := encode(t, s.View())
		restored, err := replica.Decode(bytes.NewReader(encoded))
		require.NoError(t, err)
		require.Equal(t, contents(s.View()), contents(restored.View()))
		require.Equal(t, encoded, encode(t, restored.View()))
	})
}
