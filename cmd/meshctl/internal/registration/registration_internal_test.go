package registration

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/consensus/catalog/catalogpb"
)

func TestPortsAreParsedStrictly(t *testing.T) {
	for text, want := range map[string]*catalogpb.Port{
		"80": {Protocol: "tcp", Number: 80}, "53/udp": {Protocol: "udp", Number: 53},
		"http:8080/tcp": {Name: "http", Protocol: "tcp", Number: 8080}, "a:65535": {Name: "a", Protocol: "tcp", Number: 65535},
		"": nil, "0": nil, "65536": nil, "80/sctp": nil, "80/": nil, ":80": nil, "http": nil, "-1": nil, "+80": nil, "80/TCP": nil, "a:b:80": nil,
	} {
		got, err := parsePort(text)
		if want == nil {
			assert.Error(t, err, text)
			continue
		}
		require.NoError(t, err, text)
		assert.Equal(t, want.String(), got.String(), text)
	}
}
