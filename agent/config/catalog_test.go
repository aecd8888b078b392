package config_test

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/meshway/meshway/agent/config"
	"github.com/meshway/meshway/agent/config/configtest"
	"github.com/meshway/meshway/agent/identity"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/catalogpb"
	"github.com/meshway/meshway/consensus/catalog/replica"
)

// TestWhatTheCatalogRefusesIsRefusedByTheCheck registers what each valid configuration
// describes in a real catalog.
func TestWhatTheCatalogRefusesIsRefusedByTheCheck(t *testing.T) {
	accepted := 0
	for _, source := range configtest.Configurations() {
		c, err := config.Parse(strings.NewReader(source), "meshd.yaml", config.Env{Hostname: "gw0"})
		if err != nil {
			continue
		}
		accepted++
		for _, result := range register(t, c) {
			assert.Nil(t, result.Refusal, "the check accepts what the catalog refuses:\n%.300s", source)
		}
	}
	assert.Greater(t, accepted, 40, "most values are not valid at all")
}

// register initializes a federation with the datacenter and gateway of a
// configuration, and registers its services.
func register(t *testing.T, c config.Config) []catalog.Result {
	t.Helper()
	now := time.Now()
	ca, err := identity.NewCA(c.Datacenter, now)
	require.NoError(t, err)
	commands := []*catalogpb.Command{catalog.NewInit(
		catalog.Federation{ID: "123e4567-e89b-12d3-a456-426614174000", Name: "demo", Overlay: netip.MustParsePrefix("fd12:3456:789a::/48")},
		catalog.Datacenter{Name: c.Datacenter, CACertificate: ca.Certificate(), Prefixes: c.Prefixes},
		catalog.Gateway{
			Datacenter: c.Datacenter, Name: c.Gateway, PublicKey: catalog.Key{1},
			Endpoints: c.WireGuard.Advertise, Controls: c.Control.Advertise,
		},
	)}
	if len(c.Services) > 0 {
		for i := range c.Services {
			c.Services[i].Datacenter = c.Datacenter
		}
		commands = append(commands, catalog.NewPutServices(c.Services))
	}
	var results []catalog.Result
	state := replica.New()
	for i, command := range commands {
		command.Author, command.At = string(c.GatewayID()), timestamppb.New(now)
		entry, err := catalog.Marshal(command)
		require.NoError(t, err)
		applied, err := state.Apply(uint64(i+1), entry)
		require.NoError(t, err)
		results = append(results, applied...)
	}
	return results
}
