package sim

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/agent/control"
	"github.com/meshway/meshway/agent/control/controlpb"
	"github.com/meshway/meshway/agent/identity"
	"github.com/meshway/meshway/agent/member"
	"github.com/meshway/meshway/consensus"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/budget"
)

// Each enrolment of a gateway that does not answer removes it from raft, which is limited.
func TestEnrolmentsOfAHostileGatewayUseUpOnlyWhatItsOwnDatacenterMayRequest(t *testing.T) {
	simulate(t, func(t *testing.T, sim *simulation) {
		east, west, north, south := sim.datacenter("east", 1), sim.datacenter("west", 2), sim.datacenter("north", 3), sim.datacenter("south", 4)
		federate(t, east, west, north, south)
		honest, err := west.agent.Member()
		require.NoError(t, err)
		south.crash()
		time.Sleep(time.Minute)
		enroller, contacts, record := enrolmentOf(t, south, honest)
		for range 4 * budget.Operations.Burst() {
			for _, contact := range contacts {
				_, _ = enroller.Enrol(t.Context(), []control.Contact{contact}, &controlpb.EnrolRequest{Gateway: record.Proto()}) // refused or not
			}
		}
		for _, g := range []*gateway{east, west, north} {
			m, err := g.agent.Member()
			require.NoError(t, err)
			require.NoError(t, m.TransferLeader(t.Context(), ""), "requested in %s", g.name())
			time.Sleep(time.Minute)
		}
		events, _, err := honest.Events(consensus.EventQuery{Limit: consensus.MaxEvents})
		require.NoError(t, err)
		removals := 0
		for _, e := range events {
			if e.Kind == "remove-peer" {
				removals++
				assert.Equal(t, south.cfg.GatewayID(), e.Author)
			}
		}
		assert.NotZero(t, removals)
	})
}

// enrolmentOf returns what a program with the keys of a gateway needs to enrol it.
func enrolmentOf(t *testing.T, g *gateway, honest *member.Member) (control.Enroller, []control.Contact, catalog.Gateway) {
	t.Helper()
	store, err := identity.Open(g.cfg.DataDir)
	require.NoError(t, err)
	defer store.Close()
	ca, err := store.CA(g.cfg.Datacenter, time.Now())
	require.NoError(t, err)
	view := honest.View()
	federation, _ := view.Federation()
	var contacts []control.Contact
	for _, other := range view.Gateways() {
		if other.Datacenter == g.cfg.Datacenter {
			continue
		}
		dc, _ := view.Datacenter(other.Datacenter)
		its, err := identity.ParseCA(dc.CACertificate)
		require.NoError(t, err)
		contacts = append(contacts, control.Contact{Gateway: other.ID(), Pin: identity.PinOfCA(its), Addresses: other.Controls})
	}
	record, _ := view.Gateway(g.cfg.GatewayID())
	return control.Enroller{CA: ca, FederationID: federation.ID, Sockets: g.host, Sentinels: member.Sentinels()}, contacts, record
}
