package routes_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/meshway/meshway/routes"
)

// The kernel removes the routes of router advertisements when forwarding is
// switched on, unless accept_ra is 2 by then.
func TestAcceptRAIsSetBeforeForwarding(t *testing.T) {
	settings := append(routes.ForwardingSysctls(nil), routes.AcceptRASysctls([]string{"eth0"})...)
	got := routes.InOrder(settings)
	assert.Equal(t, routes.Sysctl{Key: "net/ipv6/conf/eth0/accept_ra", Value: "2"}, got[0])
	assert.ElementsMatch(t, settings, got)
}
