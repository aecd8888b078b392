package config_test

import (
	"fmt"
	"net"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestAddressesToListenOnCollideAsOnTheHost binds each pair of addresses. 0.0.0.0 is all
// addresses of both families, as net.Listen defines it.
func TestAddressesToListenOnCollideAsOnTheHost(t *testing.T) {
	list := []string{"0.0.0.0", "[::]", "", "127.0.0.1", "127.0.0.2", "[::1]", "[::ffff:127.0.0.1]"}
	for _, first := range list {
		for _, second := range list {
			control, err := net.Listen("tcp", first+":0")
			require.NoError(t, err)
			port := control.Addr().(*net.TCPAddr).Port
			metrics, bound := net.Listen("tcp", fmt.Sprintf("%s:%d", second, port))
			require.NoError(t, control.Close())
			if bound == nil {
				require.NoError(t, metrics.Close())
			}
			_, err = parse(t, fmt.Sprintf("datacenter: east\ncontrol: {listen: '%s:%d'}\nmetrics: {listen: '%s:%d'}\n", first, port, second, port))
			assert.Equal(t, bound == nil, err == nil, "%s and %s: the host %v, the check %v", first, second, bound, err)
		}
	}
}
