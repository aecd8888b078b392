package sim

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/agent/member"
	"github.com/meshway/meshway/consensus/catalog"
)

func TestFounderAllowsRangesToThoseThatJoinAndNotToItself(t *testing.T) {
	simulate(t, func(t *testing.T, sim *simulation) {
		east, west := sim.datacenter("east", 1), sim.datacenter("west", 2)
		allowed := netip.MustParsePrefix("198.18.0.0/15")
		_, err := east.agent.Init(t.Context(), member.InitOptions{Name: "sim", Allow: []netip.Prefix{allowed}})
		require.NoError(t, err)
		require.NoError(t, west.join(east.createToken(t)))
		founder, err := east.agent.Member()
		require.NoError(t, err)
		assert.Equal(t, []catalog.AllowedPrefix{{CIDR: allowed, AllowedBy: "east"}}, founder.View().Settings().Allowed)
		for _, g := range []*gateway{west, east} {
			m, err := g.agent.Member()
			require.NoError(t, err)
			dc, _ := m.View().Datacenter(g.cfg.Datacenter)
			dc.Prefixes = append(dc.Prefixes, catalog.Prefix{CIDR: netip.MustParsePrefix("198.18.7.0/24"), Kind: catalog.PodPrefix})
			results, err := m.Propose(t.Context(), catalog.NewUpdateDatacenter(dc))
			require.NoError(t, err)
			if g == west {
				require.Nil(t, results[0].Refusal)
				require.NoError(t, west.leave(false)) // which frees the range
				continue
			}
			assert.Nil(t, results[0].Refusal, "east is alone")
		}
	})
}
