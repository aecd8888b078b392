package sim

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/agent/identity"
	"github.com/meshway/meshway/agent/membership"
)

func (g *gateway) rotate(t *testing.T, request membership.RotateRequest) (steps []string, err error) {
	t.Helper()
	err = g.agent.RotateCA(t.Context(), request, func(step, _ string) { steps = append(steps, step) })
	return steps, err
}

// pinOf returns the pin of a datacenter that the gateway trusts, and whether a former CA
// is trusted beside it.
func (g *gateway) pinOf(t *testing.T, dc string) (pin identity.Pin, former bool) {
	t.Helper()
	member, err := g.agent.Member()
	if err != nil {
		return identity.Pin{}, false // it starts
	}
	for name, is := range member.Trust().Ledger().Datacenters {
		if string(name) == dc {
			return is.Pin, is.Former != nil
		}
	}
	return identity.Pin{}, false
}

func TestEveryMemberFollowsTheRotationOfACA(t *testing.T) {
	simulate(t, func(t *testing.T, sim *simulation) {
		east, west, north := sim.datacenter("east", 1), sim.datacenter("west", 2), sim.datacenter("north", 3)
		federate(t, east, west, north)
		await(t, "all records are signed", func() bool { return east.signed(t) && north.signed(t) })
		first, _ := east.pinOf(t, "east")
		token := east.createToken(t)
		before := east.catalogIndex(t)
		steps, err := east.rotate(t, membership.RotateRequest{DryRun: true})
		require.NoError(t, err)
		assert.Equal(t, []string{"plan"}, steps)
		assert.Equal(t, before, east.catalogIndex(t))

		north.stop() // is away during the rotation
		steps, err = east.rotate(t, membership.RotateRequest{})
		require.NoError(t, err)
		assert.Equal(t, "retired", steps[len(steps)-1])
		second, _ := east.pinOf(t, "east")
		require.NotEqual(t, first, second)
		north.start()
		for _, g := range []*gateway{west, north} {
			await(t, g.name()+" trusts the new CA only", func() bool {
				pin, former := g.pinOf(t, "east")
				return pin == second && !former
			})
		}
		steps, err = east.rotate(t, membership.RotateRequest{})
		require.NoError(t, err)
		assert.Equal(t, []string{"unchanged"}, steps)

		requireServiceReplicated(t, east, north, "after-it")
		east.stop()
		east.start()
		await(t, "east is a member after a restart", func() bool { return east.agent.Status().Catalog.Leader != "" })
		requireServiceReplicated(t, east, west, "after-the-restart")
		south := sim.datacenter("south", 4)
		require.NoError(t, south.join(token), "a token from before the rotation")
		await(t, "south trusts the new CA", func() bool { pin, _ := south.pinOf(t, "east"); return pin == second })
		for _, g := range []*gateway{east, west, north, south} {
			await(t, g.name()+" reports no problem", func() bool { return len(g.agent.Status().Problems) == 0 })
		}
		time.Sleep(time.Minute)
		written := east.catalogIndex(t)
		time.Sleep(longTime)
		assert.Equal(t, written, east.catalogIndex(t), "nothing is written while nothing changes")
	})
}

// A crash between the replacement of the CA and the removal of the files from which it was
// made leaves these.
func TestACAIsRotatedAgainAfterACrashThatLeftTheFilesOfTheLastRotation(t *testing.T) {
	simulate(t, func(t *testing.T, sim *simulation) {
		east, west := sim.datacenter("east", 1), sim.datacenter("west", 2)
		federate(t, east, west)
		await(t, "all records are signed", func() bool { return east.signed(t) && west.signed(t) })
		_, err := east.rotate(t, membership.RotateRequest{})
		require.NoError(t, err)
		first, _ := east.pinOf(t, "east")
		east.stop()
		store, err := identity.Open(east.cfg.DataDir)
		require.NoError(t, err)
		ca, err := store.CA("east", time.Now())
		require.NoError(t, err)
		require.NoError(t, store.SaveNextCA(ca))
		require.NoError(t, store.Close())
		east.start()
		await(t, "east is a member after a restart", func() bool { return east.agent.Status().Catalog.Leader != "" })
		_, err = east.rotate(t, membership.RotateRequest{Again: true})
		require.NoError(t, err)
		await(t, "west trusts another CA", func() bool { pin, former := west.pinOf(t, "east"); return pin != first && !former })
	})
}

func TestSiblingsFollowTheRotationOfTheirCA(t *testing.T) {
	simulate(t, func(t *testing.T, sim *simulation) {
		p := newPair(t, sim)
		await(t, "all records are signed", func() bool { return p.a.signed(t) && p.west.signed(t) })
		first, _ := p.west.pinOf(t, "east")
		p.b.stop()
		unfinished := make(chan error, 1)
		go func() {
			_, err := p.a.rotate(t, membership.RotateRequest{})
			unfinished <- err
		}()
		await(t, "west trusts the new CA", func() bool { pin, _ := p.west.pinOf(t, "east"); return pin != first })
		time.Sleep(30 * time.Second)
		second, former := p.west.pinOf(t, "east")
		assert.True(t, former, "the sibling may still use the former CA")
		require.ErrorContains(t, <-unfinished, "gateways b do not use the new one yet")

		p.b.start()
		steps, err := p.a.rotate(t, membership.RotateRequest{})
		require.NoError(t, err)
		assert.Equal(t, "announced", steps[0])
		await(t, "west trusts the new CA only", func() bool {
			pin, former := p.west.pinOf(t, "east")
			return pin == second && !former
		})
		for _, g := range []*gateway{p.a, p.b, p.west} {
			await(t, g.name()+" reports no problem", func() bool { return len(g.agent.Status().Problems) == 0 })
		}
		shared, _ := p.shared.Current()
		ca, err := identity.DecodeCA("east", shared.Certificate, shared.Key)
		require.NoError(t, err)
		assert.Equal(t, second, ca.Pin())
		assert.Empty(t, shared.NextKey)
		requireServiceReplicated(t, p.b, p.west, "of-b")
		p.shared.setGateways("a", "b", "c")
		c := sim.gateway("east", 1, "c", 12, p.shared)
		p.awaitGateways(t, "a,b,c", c, p.a, p.west)
	})
}
