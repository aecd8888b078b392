//go:build linux && root

package userspace_test

import (
	"errors"
	"io"
	"net"
	"testing"

	"github.com/stretchr/testify/require"
)

// BenchmarkThroughput sends data over one TCP connection through a tunnel between
// two hosts, whose data plane processes share the machine's processors.
//
//	go test -tags root -run - -bench Throughput -benchtime 2000x ./tunnel/userspace
func BenchmarkThroughput(b *testing.B) {
	p := newPair(b)
	p.ping(b)
	var listener net.Listener
	var sender net.Conn
	var errListen, errDial error
	p.hosts[1].Do(func() { listener, errListen = net.Listen("tcp", "[fd00:100::2]:7") })
	require.NoError(b, errListen)
	defer listener.Close()
	p.hosts[0].Do(func() { sender, errDial = net.Dial("tcp", "[fd00:100::2]:7") })
	require.NoError(b, errDial)
	defer sender.Close()
	receiver, err := listener.Accept()
	require.NoError(b, err)
	defer receiver.Close()

	const chunk = 1 << 20
	b.SetBytes(chunk)
	b.ResetTimer()
	sent := make(chan error, 1)
	go func() {
		data := make([]byte, chunk)
		var err error
		for range b.N {
			_, failed := sender.Write(data)
			err = errors.Join(err, failed)
		}
		sent <- err
	}()
	_, err = io.CopyN(io.Discard, receiver, int64(b.N)*chunk)
	require.NoError(b, errors.Join(err, <-sent))
}
