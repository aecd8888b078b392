//go:build linux

package nft

import (
	"encoding/binary"
	"fmt"

	"golang.org/x/sys/unix"
)

// generation returns the number that the kernel increments with each change of
// nftables in the network namespace of the calling thread.
func generation() (uint32, error) {
	answer, err := askGeneration()
	if err != nil {
		return 0, fmt.Errorf("read the generation of nftables: %w", err)
	}
	return parseGeneration(answer)
}

// parseGeneration reads the answer to NFT_MSG_GETGEN.
func parseGeneration(answer []byte) (uint32, error) {
	const headers = unix.SizeofNlMsghdr + unix.SizeofNlAttr // netlink; the header of netfilter is 4 bytes, as that of an attribute
	if len(answer) < headers || binary.NativeEndian.Uint16(answer[4:]) != unix.NFNL_SUBSYS_NFTABLES<<8|unix.NFT_MSG_NEWGEN {
		return 0, fmt.Errorf("read the generation of nftables: unexpected answer of %d bytes", len(answer))
	}
	for rest := answer[headers:]; len(rest) >= unix.SizeofNlAttr; {
		length := int(binary.NativeEndian.Uint16(rest))
		if length < unix.SizeofNlAttr || length > len(rest) {
			break
		}
		if binary.NativeEndian.Uint16(rest[2:]) == unix.NFTA_GEN_ID && length >= unix.SizeofNlAttr+4 {
			return binary.BigEndian.Uint32(rest[unix.SizeofNlAttr:]), nil
		}
		rest = rest[min(len(rest), (length+3)&^3):]
	}
	return 0, fmt.Errorf("read the generation of nftables: the answer has none")
}

// askGeneration sends NFT_MSG_GETGEN and returns the answer (linux/nfnetlink.h).
func askGeneration() ([]byte, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_NETFILTER)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 1}); err != nil {
		return nil, err
	}
	request := make([]byte, unix.SizeofNlMsghdr+4)
	binary.NativeEndian.PutUint32(request[0:], uint32(len(request)))
	binary.NativeEndian.PutUint16(request[4:], unix.NFNL_SUBSYS_NFTABLES<<8|unix.NFT_MSG_GETGEN)
	binary.NativeEndian.PutUint16(request[6:], unix.NLM_F_REQUEST)
	if err := unix.Sendto(fd, request, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return nil, err
	}
	answer := make([]byte, 1024)
	n, _, err := unix.Recvfrom(fd, answer, 0)
	if err != nil {
		return nil, err
	}
	return answer[:n], nil
}
