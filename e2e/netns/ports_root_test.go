//go:build linux && root

package netns_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestPortsThatAnotherProcessHasAreNamedWithIt occupies the ports of liveness and of
// metrics before meshd starts.
func TestPortsThatAnotherProcessHasAreNamedWithIt(t *testing.T) {
	east := newTopology(t, "east").Datacenters[0]
	const occupy = `use Socket qw(:DEFAULT sockaddr_in6 IN6ADDR_ANY); socket(U, PF_INET6, SOCK_DGRAM, 17); bind(U, sockaddr_in6(3784, IN6ADDR_ANY)) or die;
		socket(T, PF_INET, SOCK_STREAM, 6); bind(T, sockaddr_in(9443, INADDR_LOOPBACK)) or die; listen(T, 1); sleep 600`
	daemon, err := east.Gateway.Start("bfdd", "perl", "-e", occupy)
	require.NoError(t, err)
	eventually(t, timeout, "the daemon has the ports", func(ctx context.Context) error {
		out, err := east.Gateway.Exec(ctx, "ss", "-lnt", "sport = 9443")
		if err == nil && !strings.Contains(out, ":9443") {
			err = errors.New(out)
		}
		return err
	})
	runAgent(t, east)
	awaitRemedy(t, east, "metrics-unavailable", "set metrics.listen to another address, or to off")
	out, err := east.Meshctl(within(t, timeout), "init")
	require.Error(t, err, out)
	assert.Contains(t, err.Error(), "UDP port 3784 is in use by process")
	assert.Contains(t, err.Error(), "(perl)")
	assert.Contains(t, err.Error(), "liveness.port")
	daemon.Kill()
	meshctl(t, east, "init")
	awaitResolved(t, east, "metrics-unavailable")
}
