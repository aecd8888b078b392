package sim

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/agent/config"
)

// asWitness makes a configuration that of a witness.
func asWitness(c *config.Config) { c.Witness, c.Prefixes = true, nil }

// withWitness returns two datacenters and a witness that has joined them.
func withWitness(t *testing.T, sim *simulation) (east, west, witness *gateway) {
	t.Helper()
	east, west, witness = sim.datacenter("east", 1), sim.datacenter("west", 2), sim.datacenter("witness", 3, asWitness)
	federate(t, east, west, witness)
	return east, west, witness
}

// writes requires that a gateway registers a service, which is not queued, and that the
// others have it.
func writes(t *testing.T, name string, through *gateway, others ...*gateway) {
	t.Helper()
	_, queued, err := through.register(t.Context(), service(name, through.pod()))
	require.NoError(t, err)
	require.False(t, queued)
	for _, g := range others {
		await(t, g.name()+" has "+name, func() bool { return hasService(g, name) })
	}
}

func leads(g *gateway) bool { return g.agent.Status().Catalog.Role == "leader" }

func TestWitnessVotesAndCarriesNoTraffic(t *testing.T) {
	simulate(t, func(t *testing.T, sim *simulation) {
		east, west, witness := withWitness(t, sim)
		writes(t, "web", east, west, witness)
		for _, g := range []*gateway{east, west, witness} {
			s := g.agent.Status()
			assert.Empty(t, problemCodes(s), g.name())
			assert.Equal(t, g == witness, s.Self.Witness, g.name())
			for _, dc := range s.Datacenters {
				assert.Equal(t, dc.Name == "witness", dc.Witness, "%s of %s", dc.Name, g.name())
				assert.Equal(t, "voter", dc.Gateways[0].Role, "%s of %s", dc.Name, g.name())
			}
		}
		report, err := witness.agent.Routes(t.Context(), netip.Addr{})
		require.NoError(t, err)
		for _, r := range report.Routes {
			assert.True(t, strings.HasPrefix(r.Prefix.String(), "fd"), "the witness routes overlay addresses only, not %v", r.Prefix)
		}
		assert.NotContains(t, witness.kernel.String(), "ip_forward")
		for _, g := range []*gateway{east, west} {
			p, ok := g.tunnels.Peer(witness.key)
			require.True(t, ok)
			assert.Len(t, p.AllowedIPs, 1, "%s accepts from the witness its overlay address only", g.name())
			q, ok := witness.tunnels.Peer(g.key)
			require.True(t, ok)
			assert.Len(t, q.AllowedIPs, 1, "the witness accepts from %s its overlay address only", g.name())
		}
		_, _, err = witness.register(t.Context(), service("own", "10.13.0.10"))
		require.ErrorContains(t, err, "witness")
	})
}

func TestCatalogSurvivesTheLossOfEitherDatacenterWithAWitness(t *testing.T) {
	for _, lost := range []string{"east", "west"} {
		t.Run(lost, func(t *testing.T) {
			simulate(t, func(t *testing.T, sim *simulation) {
				east, west, witness := withWitness(t, sim)
				gone, rest := east, west
				if lost == "west" {
					gone, rest = west, east
				}
				gone.crash()
				writes(t, "after", rest, witness)
				await(t, "the datacenter that is left leads", func() bool { return leads(rest) })
				time.Sleep(longTime)
				assert.True(t, leads(rest))
				assert.False(t, leads(witness))
				assert.NotContains(t, problemCodes(rest.agent.Status()), "no-leader")
				gone.start()
				await(t, "the other one is back", func() bool { return hasService(gone, "after") && gone.reachable() == 3 })
				await(t, "a datacenter leads", func() bool { return leads(rest) || leads(gone) })
			})
		})
	}
}

func TestLossOfTheWitnessChangesNothing(t *testing.T) {
	simulate(t, func(t *testing.T, sim *simulation) {
		east, west, witness := withWitness(t, sim)
		before := east.kernel.String()
		witness.crash()
		writes(t, "without", east, west)
		writes(t, "and-back", west, east)
		assert.Equal(t, before, east.kernel.String())
		witness.start()
		await(t, "the witness is back", func() bool { return hasService(witness, "without") && witness.reachable() == 3 })
		require.NoError(t, witness.leave(false))
		await(t, "it has left", func() bool { return len(east.agent.Status().Datacenters) == 2 })
		writes(t, "left", east, west)
	})
}

func TestWitnessMayFoundAFederationAndThenDoesNotLead(t *testing.T) {
	simulate(t, func(t *testing.T, sim *simulation) {
		witness, east, west := sim.datacenter("witness", 3, asWitness), sim.datacenter("east", 1), sim.datacenter("west", 2)
		federate(t, witness, east, west)
		await(t, "a datacenter leads", func() bool { return leads(east) || leads(west) })
		writes(t, "web", east, west, witness)
		for _, g := range []*gateway{east, west} {
			g.stop()
			time.Sleep(time.Minute)
			assert.False(t, leads(witness))
			g.start()
			await(t, "all are reached", func() bool { return witness.reachable() == 3 })
		}
	})
}

func TestGatewayBecomesAWitnessAndBack(t *testing.T) {
	simulate(t, func(t *testing.T, sim *simulation) {
		east, west, north := sim.datacenter("east", 1), sim.datacenter("west", 2), sim.datacenter("north", 3)
		federate(t, east, west, north)
		former := north.cfg
		restart := func(cfg config.Config, witness bool) {
			north.stop()
			north.cfg = cfg
			north.start()
			await(t, "the others have the record", func() bool {
				s := east.agent.Status()
				i := len(s.Datacenters) - 2 // east, north, west
				dc := s.Datacenters[i]
				return dc.Name == "north" && dc.Witness == witness && len(dc.Prefixes) == len(cfg.Prefixes)
			})
		}
		changed := former
		asWitness(&changed)
		restart(changed, true)
		prefix := former.Prefixes[0].CIDR.String()
		assert.NotContains(t, east.kernel.String(), "route "+prefix)
		assert.Contains(t, east.kernel.String(), "route blackhole "+prefix, "it is guarded")
		restart(former, false)
		await(t, "it is routed", func() bool { return strings.Contains(east.kernel.String(), "route "+prefix) })
		assert.Empty(t, problemCodes(east.agent.Status()))
	})
}
