package kubectl

import (
	"encoding/binary"
	"io"
	"net"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/dns/dnsmessage"
)

// serveDNS answers requests by TCP with a code and a TXT record, none if empty.
func serveDNS(t *testing.T, code dnsmessage.RCode, text string) (address string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, listener.Close()) })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go answerDNS(conn, code, text)
		}
	}()
	return listener.Addr().String()
}

func answerDNS(conn net.Conn, code dnsmessage.RCode, text string) {
	defer conn.Close()
	var size uint16
	for binary.Read(conn, binary.BigEndian, &size) == nil {
		request := make([]byte, size)
		var m dnsmessage.Message
		if _, err := io.ReadFull(conn, request); err != nil || m.Unpack(request) != nil {
			return
		}
		m.Header.Response, m.Header.RCode, m.Header.RecursionAvailable = true, code, true
		m.Additionals = nil
		if text != "" {
			m.Answers = []dnsmessage.Resource{{
				Header: dnsmessage.ResourceHeader{Name: m.Questions[0].Name, Type: dnsmessage.TypeTXT, Class: dnsmessage.ClassINET},
				Body:   &dnsmessage.TXTResource{TXT: []string{text}},
			}}
		}
		response, err := m.Pack()
		if err != nil {
			return
		}
		if _, err := conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(response))), response...)); err != nil {
			return
		}
	}
}

func TestLookupDistinguishesNoAnswerFromAServerThatDoesNotAnswer(t *testing.T) {
	for name, c := range map[string]struct {
		code dnsmessage.RCode
		text string
		want []string
	}{
		"the zone is served":      {dnsmessage.RCodeSuccess, "1.1.0", []string{"1.1.0"}},
		"no such name":            {dnsmessage.RCodeNameError, "", nil},
		"no such record":          {dnsmessage.RCodeSuccess, "", nil},
		"the upstream has failed": {dnsmessage.RCodeServerFailure, "", nil},
		"the upstream refuses":    {dnsmessage.RCodeRefused, "", nil},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := lookupTXT(t.Context(), serveDNS(t, c.code, c.text), "dns-version.clusterset.local")
			require.NoError(t, err)
			assert.Equal(t, c.want, got)
		})
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, listener.Close())
	_, err = lookupTXT(t.Context(), listener.Addr().String(), "dns-version.clusterset.local")
	assert.Error(t, err, "kubectl has ended")
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, silent.Close()) })
	go func() {
		for {
			conn, err := silent.Accept()
			if err != nil {
				return
			}
			_ = conn.Close()
		}
	}()
	_, err = lookupTXT(t.Context(), silent.Addr().String(), "dns-version.clusterset.local")
	assert.Error(t, err, "the pod does not listen")
}
