//go:build linux

package nft

import (
	"encoding/binary"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// FuzzGeneration checks that no answer of the kernel causes a panic, and that a number is
// read only from an answer that has one.
func FuzzGeneration(f *testing.F) {
	answer := make([]byte, unix.SizeofNlMsghdr+unix.SizeofNlAttr)
	binary.NativeEndian.PutUint16(answer[4:], unix.NFNL_SUBSYS_NFTABLES<<8|unix.NFT_MSG_NEWGEN)
	other := append(answer[:len(answer):len(answer)], attribute(unix.NFTA_GEN_PROC_NAME, []byte("nft\x00"))...)
	good := append(other[:len(other):len(other)], attribute(unix.NFTA_GEN_ID, []byte{0, 0, 1, 7})...)
	for _, seed := range [][]byte{answer, other, good, good[:len(good)-1]} {
		f.Add(seed)
	}
	got, err := parseGeneration(good)
	require.NoError(f, err)
	require.Equal(f, uint32(0x107), got)
	f.Fuzz(func(t *testing.T, answer []byte) {
		if _, err := parseGeneration(answer); err == nil {
			require.GreaterOrEqual(t, len(answer), len(good)-len(other)+unix.SizeofNlMsghdr+unix.SizeofNlAttr)
		}
	})
}

// attribute returns a netlink attribute whose value needs no padding.
func attribute(typ uint16, value []byte) []byte {
	b := binary.NativeEndian.AppendUint16(nil, uint16(unix.SizeofNlAttr+len(value)))
	return append(binary.NativeEndian.AppendUint16(b, typ), value...)
}
