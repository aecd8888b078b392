package registrar

import (
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/meshway/meshway/agent/identity"
	"github.com/meshway/meshway/consensus/catalog"
)

// founder is what the first command of a catalog holds.
type founder struct {
	federation catalog.Federation
	datacenter catalog.Datacenter
	gateway    catalog.Gateway
	at         *timestamppb.Timestamp
}

func newFounder(t *testing.T) founder {
	t.Helper()
	now := time.Now()
	ca, err := identity.NewCA("east", now)
	require.NoError(t, err)
	return founder{
		federation: catalog.Federation{
			ID: "7f1a6f0e-7f4d-4b68-8f0f-5a1c1d1e2f3a", Name: "test", Overlay: netip.MustParsePrefix("fd00:1::/48"), CreatedAt: now,
		},
		datacenter: catalog.Datacenter{
			Name: "east", CACertificate: ca.Certificate(), JoinedAt: now,
			Prefixes: []catalog.Prefix{{CIDR: netip.MustParsePrefix("10.1.0.0/16"), Kind: catalog.PodPrefix}},
		},
		gateway: catalog.Gateway{
			Datacenter: "east", Name: "gw", PublicKey: catalog.Key{1}, Version: "devel",
			Endpoints: []string{"203.0.113.1:51820"}, Controls: []string{"203.0.113.1:7443"},
		},
		at: timestamppb.New(now),
	}
}
