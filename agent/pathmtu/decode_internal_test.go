package pathmtu

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// FuzzDecode checks that only what encode creates is taken for an answer, in any size.
func FuzzDecode(f *testing.F) {
	f.Add(encode(1, 2, 64))
	f.Add(encode(1<<32-1, 0, 12))
	f.Add([]byte(magic))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, packet []byte) {
		id, sequence, ok := decode(packet)
		if !ok {
			return
		}
		require.Equal(t, encode(id, sequence, 12), packet[:12])
	})
}
