package control_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"connectrpc.com/connect"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/agent/control"
	"github.com/meshway/meshway/agent/control/controlpb"
	"github.com/meshway/meshway/agent/control/controlpb/controlpbconnect"
	"github.com/meshway/meshway/agent/identity"
	"github.com/meshway/meshway/agent/rpc"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/catalogpb"
)

func contactOf(g *gateway) control.Contact {
	return control.Contact{Gateway: g.id, Pin: g.ca.Pin(), Addresses: []string{g.address}}
}

// enrol sends a request to enrol a gateway from the host of from, with that CA.
func enrol(ctx context.Context, from *gateway, ca *identity.CA, gateway *catalogpb.Gateway, contacts ...control.Contact) (*controlpb.EnrolResponse, error) {
	e := control.Enroller{CA: ca, FederationID: federationID, Sockets: from.host, Sentinels: sentinels()}
	return e.Enrol(ctx, contacts, &controlpb.EnrolRequest{Gateway: gateway})
}

func TestFirstContactThatAnswersEnrolsTheGateway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFederation(t)
		east, west, host := f.member("east", eastIP), f.member("west", westIP), f.gateway("north", northIP)
		down := control.Contact{Gateway: "east/gw9", Pin: east.ca.Pin(), Addresses: []string{"203.0.113.99:7443"}}
		response, err := enrol(t.Context(), host, east.ca, &catalogpb.Gateway{Name: "gw2"}, down, contactOf(east), contactOf(west))
		require.NoError(t, err)
		assert.Equal(t, "catalog", string(response.GetSnapshot()))
		assert.Equal(t, []catalog.GatewayID{"east/gw2"}, east.service.enrols)
		assert.Empty(t, west.service.enrols)
	})
}

func TestContactThatIsNotTheLeaderIsSkipped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFederation(t)
		east, west, host := f.member("east", eastIP), f.member("west", westIP), f.gateway("north", northIP)
		west.service.set(errNotLeader)
		_, err := enrol(t.Context(), host, east.ca, &catalogpb.Gateway{Name: "gw2"}, contactOf(west), contactOf(east))
		require.NoError(t, err)
		assert.Equal(t, []catalog.GatewayID{"east/gw2"}, east.service.enrols)
	})
}

func TestGatewayCannotEnrolInAnotherDatacenter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFederation(t)
		east, west, host := f.member("east", eastIP), f.member("west", westIP), f.gateway("north", northIP)
		_, err := enrol(t.Context(), host, east.ca, &catalogpb.Gateway{Name: "gw2", Datacenter: "west"}, contactOf(west))
		assert.Equal(t, catalog.CodeCertificate, refusalOf(t, err).Code)
		forged, err := identity.NewCA("west", time.Now())
		require.NoError(t, err)
		_, err = enrol(t.Context(), host, forged, &catalogpb.Gateway{Name: "gw2"}, contactOf(west), contactOf(east))
		assert.Equal(t, control.CodeNoContact, refusalOf(t, err).Code, "another CA of the same name does not count")
		require.ErrorIs(t, err, identity.ErrNotMember)
		_, err = enrol(t.Context(), host, host.ca, &catalogpb.Gateway{Name: "gw2"}, contactOf(west))
		assert.Equal(t, control.CodeNoContact, refusalOf(t, err).Code, "its datacenter is not a member")
		require.ErrorIs(t, err, identity.ErrNotMember)
		assert.Zero(t, west.service.calls()+east.service.calls())
	})
}

func TestEnrolmentIsRequestedOnlyFromTheGatewayOfThePin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFederation(t)
		east, west, host := f.member("east", eastIP), f.member("west", westIP), f.gateway("north", northIP)
		impostor := control.Contact{Gateway: west.id, Pin: east.ca.Pin(), Addresses: []string{west.address}}
		other := control.Contact{Gateway: "west/gw7", Pin: west.ca.Pin(), Addresses: []string{west.address}}
		_, err := enrol(t.Context(), host, east.ca, &catalogpb.Gateway{Name: "gw2"}, impostor, other)
		require.ErrorIs(t, err, identity.ErrPin)
		require.ErrorIs(t, err, control.ErrWrongPeer)
		assert.Zero(t, west.service.calls())
	})
}

func TestEnrolmentInAnotherFederationIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFederation(t)
		east, host := f.member("east", eastIP), f.gateway("north", northIP)
		client := controlpbconnect.NewFederationClient(rawClient(t, host, issue(t, east.ca, federationID, time.Now())), "https://gw1.east")
		request := &controlpb.EnrolRequest{FederationId: federationID, Gateway: &catalogpb.Gateway{Name: "gw1"}}
		_, err := client.Enrol(t.Context(), connect.NewRequest(request))
		require.NoError(t, err, "the same without the change")
		request.FederationId = "another"
		_, err = client.Enrol(t.Context(), connect.NewRequest(request))
		assert.Equal(t, catalog.CodeFederationDiffers, refusalOf(t, rpc.FromConnect(err)).Code)
		assert.Len(t, east.service.enrols, 1)
	})
}
