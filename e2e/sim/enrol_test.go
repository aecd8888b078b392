package sim

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/agent/status"
	"github.com/meshway/meshway/consensus/consensustest"
)

// Federations of two datacenters: no second foreign datacenter can confirm what one
// reports, and a gateway without siblings has none of its own to confirm it.

// replaced initializes a federation of west and of east, whose gateway a crashes and is
// replaced by b, which removes a.
func replaced(t *testing.T, sim *simulation) *pair {
	t.Helper()
	p := &pair{simulation: sim, shared: newSecret("a")}
	p.a, p.west = sim.gateway("east", 1, "a", 1, p.shared), sim.datacenter("west", 2)
	federate(t, p.west, p.a)
	p.awaitContacts(t)
	p.a.crash()
	p.shared.setGateways("b")
	p.b = sim.gateway("east", 1, "b", 11, p.shared)
	p.awaitGateways(t, "b", p.b, p.west)
	return p
}

// awaitContacts waits until the shared state has one gateway of east and that of west.
func (p *pair) awaitContacts(t *testing.T) {
	t.Helper()
	await(t, "the shared state has both contacts", func() bool {
		shared, _ := p.shared.Current()
		return shared.Membership != nil && len(shared.Membership.Contacts) == 2
	})
}

// replaceDisk starts a gateway with the configuration of a crashed one and an empty
// disk, isolated from the others if isolated is set.
func (p *pair) replaceDisk(t *testing.T, old *gateway, isolated bool) *gateway {
	t.Helper()
	cfg := old.cfg
	cfg.DataDir = consensustest.TempDir(t)
	fresh := newGateway(p.simulation, old.name()+"-again", cfg, underlayOf(12))
	fresh.siblings = p.shared
	p.setIsolated(fresh.name(), isolated)
	p.add(fresh)
	return fresh
}

func TestRemovedGatewayEnrolsAgainWithoutSiblingsIfItsDatacenterRecordedTheRemoval(t *testing.T) {
	simulate(t, func(t *testing.T, sim *simulation) {
		p := replaced(t, sim)
		p.awaitContacts(t)
		p.b.crash()
		p.shared.setGateways("a")
		p.a.start()
		p.awaitGateways(t, "a", p.a, p.west)
		await(t, "a and west reach each other", func() bool { return p.a.reachable() == 2 && p.west.reachable() == 2 })
		assert.Empty(t, problemCodes(p.a.agent.Status()))
	})
}

func TestRemovedGatewayEnrolsAgainByACommandIfOnlyAnotherDatacenterReportsTheRemoval(t *testing.T) {
	simulate(t, func(t *testing.T, sim *simulation) {
		p := replaced(t, sim)
		p.awaitContacts(t)
		p.b.crash()
		shared, err := p.shared.Current()
		require.NoError(t, err)
		before := *shared.Membership
		before.Contacts[0].Gateway = "east/a" // as before b recorded the removal
		shared.Membership = &before
		require.NoError(t, p.shared.Save(t.Context(), shared))
		p.shared.setGateways("a")
		p.a.start()
		p.a.awaitProblem(t, "gateway-removed")
		time.Sleep(longTime)
		removed, found := problem(p.a, "gateway-removed")
		require.True(t, found)
		assert.Contains(t, removed.Message, "west/gw")
		assert.Contains(t, removed.Remedy, "meshctl leave --force")
		assert.NotContains(t, problemCodes(p.a.agent.Status()), "no-leader", "a remedy that restores the quorum does not apply")
		_, stored, err := p.a.storedMembership()
		require.NoError(t, err)
		assert.True(t, stored, "the word of one other datacenter deletes nothing")

		require.NoError(t, p.a.leave(true))
		p.awaitGateways(t, "a", p.a, p.west)
		await(t, "a and west reach each other", func() bool { return p.a.reachable() == 2 && p.west.reachable() == 2 })
		assert.Empty(t, problemCodes(p.a.agent.Status()))
	})
}

// removed initializes a federation of west and of east, a cluster with the gateway a,
// which west removes.
func removed(t *testing.T, sim *simulation) *pair {
	t.Helper()
	p := &pair{simulation: sim, shared: newSecret("a")}
	p.a, p.west = sim.gateway("east", 1, "a", 1, p.shared), sim.datacenter("west", 2)
	federate(t, p.west, p.a)
	p.awaitContacts(t)
	sim.setIsolated("east-a", true)
	time.Sleep(longTime)
	await(t, "east is removed", func() bool { return p.west.remove("east", false) == nil })
	return p
}

func TestRemovedClusterLeavesAndJoinsAgain(t *testing.T) {
	simulate(t, func(t *testing.T, sim *simulation) {
		p := removed(t, sim)
		sim.setIsolated("east-a", false)
		p.a.awaitProblem(t, "removed")
		time.Sleep(longTime)
		_, stored, err := p.a.storedMembership()
		require.NoError(t, err)
		assert.True(t, stored, "the word of one other datacenter deletes nothing")
		require.NoError(t, p.a.leave(true))
		await(t, "a is standalone", func() bool { return p.a.agent.Status().State == status.Standalone })
		require.NoError(t, p.a.join(p.west.createToken(t)))
		await(t, "a and west reach each other", func() bool { return p.a.reachable() == 2 && p.west.reachable() == 2 })
	})
}

func TestRemovedClusterLeavesAndJoinsAgainWithANewDisk(t *testing.T) {
	simulate(t, func(t *testing.T, sim *simulation) {
		p := removed(t, sim)
		p.a.crash()
		p.a = p.replaceDisk(t, p.a, false)
		p.a.awaitProblem(t, "removed")
		before := p.shared.writes()
		time.Sleep(longTime)
		assert.Equal(t, before, p.shared.writes(), "the word of one other datacenter deletes nothing")
		failed, _ := problem(p.a, "removed")
		assert.Contains(t, failed.Remedy, "meshctl leave --force")
		require.NoError(t, p.a.leave(true))
		require.NoError(t, p.a.join(p.west.createToken(t)))
		await(t, "a and west reach each other", func() bool { return p.a.reachable() == 2 && p.west.reachable() == 2 })
		assert.Empty(t, problemCodes(p.a.agent.Status()))
	})
}

func TestANewDiskDoesNotLeaveWhileItsDatacenterIsAMember(t *testing.T) {
	simulate(t, func(t *testing.T, sim *simulation) {
		p := &pair{simulation: sim, shared: newSecret("a")}
		p.a, p.west = sim.gateway("east", 1, "a", 1, p.shared), sim.datacenter("west", 2)
		federate(t, p.west, p.a)
		p.awaitContacts(t)
		p.a.crash()
		p.a = p.replaceDisk(t, p.a, true)
		p.a.awaitProblem(t, "enrolment-failed")
		require.ErrorContains(t, p.a.leave(false), "has not enrolled")
		sim.setIsolated(p.a.name(), false)
		await(t, "the gateway is a member", func() bool {
			return p.a.agent.Status().State == status.Member && p.a.agent.Status().Catalog.Leader != ""
		})
	})
}
