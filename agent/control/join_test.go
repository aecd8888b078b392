package control_test

import (
	"context"
	"errors"
	"net/netip"
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

func tokenOf(t testing.TB, inviting *gateway, endpoints ...string) identity.Token {
	t.Helper()
	token, err := identity.NewToken(identity.Token{
		FederationID: federationID, FederationName: "demo", Endpoints: endpoints,
		Pin: inviting.ca.Pin(), ExpiresAt: time.Now().Add(time.Hour),
	})
	require.NoError(t, err)
	return token
}

// join requests admission of the datacenter of g. It returns the steps as well.
func join(ctx context.Context, g *gateway, token identity.Token) (*controlpb.JoinResponse, []string, error) {
	var steps []string
	joiner := control.Joiner{
		CA: g.ca, Sockets: g.host, Sentinels: sentinels(), Now: time.Now,
		Progress: func(step, _ string) { steps = append(steps, step) },
	}
	response, err := joiner.Join(ctx, token, &controlpb.JoinRequest{
		Datacenter: &catalogpb.Datacenter{}, Gateway: &catalogpb.Gateway{Name: "gw1"},
	})
	return response, steps, err
}

func refusalOf(t testing.TB, err error) *catalog.Refusal {
	t.Helper()
	var refusal *catalog.Refusal
	require.ErrorAs(t, err, &refusal)
	return refusal
}

func TestFirstEndpointThatAnswersAdmitsTheDatacenter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFederation(t)
		east, west := f.member("east", eastIP), f.gateway("west", westIP)
		response, steps, err := join(t.Context(), west, tokenOf(t, east, "203.0.113.99:7443", "203.0.113.1:1", east.address))
		require.NoError(t, err)
		assert.EqualValues(t, 7, response.GetResult().GetIndex())
		assert.Equal(t, "catalog", string(response.GetSnapshot()))
		assert.Equal(t, []string{"dial", "prove-pin"}, steps)
		assert.Equal(t, []string{"west"}, east.service.joins)
	})
}

// TestOverlayIsCheckedBeforeTheJoin: a gateway of an older version has no
// previews and admits the datacenter at once.
func TestOverlayIsCheckedBeforeTheJoin(t *testing.T) {
	refused := &catalog.Refusal{Code: "overlay-local", Message: "no"}
	for name, test := range map[string]struct {
		overlay string // of the preview; empty: the gateway has no previews
		check   error
		joins   []string
		checked int
	}{
		"accepted": {overlay: "fd77::/48", joins: []string{"west"}, checked: 1},
		"refused":  {overlay: "fd77::/48", check: refused, checked: 1},
		"older":    {joins: []string{"west"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFederation(t)
				east, west := f.member("east", eastIP), f.gateway("west", westIP)
				east.service.overlay = test.overlay
				var checked []string
				joiner := control.Joiner{
					CA: west.ca, Sockets: west.host, Sentinels: sentinels(), Now: time.Now,
					CheckOverlay: func(p netip.Prefix) error { checked = append(checked, p.String()); return test.check },
				}
				response, err := joiner.Join(t.Context(), tokenOf(t, east, east.address), &controlpb.JoinRequest{
					Datacenter: &catalogpb.Datacenter{}, Gateway: &catalogpb.Gateway{Name: "gw1"},
				})
				if test.check == nil {
					require.NoError(t, err)
					assert.EqualValues(t, 7, response.GetResult().GetIndex())
				} else {
					assert.Equal(t, "overlay-local", refusalOf(t, err).Code)
				}
				assert.Len(t, checked, test.checked)
				assert.Equal(t, test.joins, east.service.joins)
			})
		})
	}
}

func TestJoinWithoutAnAnswerReportsEveryEndpoint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFederation(t)
		east, west := f.gateway("east", eastIP), f.gateway("west", westIP)
		_, _, err := join(t.Context(), west, tokenOf(t, east, "203.0.113.99:7443", east.address))
		refusal := refusalOf(t, err)
		assert.Equal(t, control.CodeUnreachable, refusal.Code)
		for _, part := range []string{"203.0.113.99:7443", "no route to host", east.address, "connection refused", "demo"} {
			assert.Contains(t, refusal.Message, part)
		}
		assert.NotEmpty(t, refusal.Remedy)
	})
}

func TestJoinSendsTheSecretOnlyToTheDatacenterOfThePin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFederation(t)
		east, north, west := f.member("east", eastIP), f.member("north", northIP), f.gateway("west", westIP)
		_, steps, err := join(t.Context(), west, tokenOf(t, north, east.address))
		require.ErrorIs(t, err, identity.ErrPin)
		assert.Equal(t, control.CodePin, refusalOf(t, err).Code)
		assert.Equal(t, []string{"dial"}, steps)
		assert.Zero(t, east.service.calls())
	})
}

func TestJoinWithAnInvalidTokenSendsNothing(t *testing.T) {
	tests := map[string]struct {
		change func(*identity.Token)
		code   string
	}{
		"expired": {func(t *identity.Token) { t.ExpiresAt = time.Now().Add(-time.Second) }, catalog.CodeTokenExpired},
		"bound":   {func(t *identity.Token) { t.Datacenter = "south" }, catalog.CodeTokenBound},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFederation(t)
				east, west := f.member("east", eastIP), f.gateway("west", westIP)
				token := tokenOf(t, east, east.address)
				test.change(&token)
				_, steps, err := join(t.Context(), west, token)
				assert.Equal(t, test.code, refusalOf(t, err).Code)
				assert.Empty(t, steps)
			})
		})
	}
}

func TestRefusalOfTheFederationEndsTheJoin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFederation(t)
		east, west := f.member("east", eastIP), f.gateway("west", westIP)
		east.service.set(&catalog.Refusal{Code: catalog.CodeNameTaken, Message: "taken"})
		_, _, err := join(t.Context(), west, tokenOf(t, east, east.address, east.address))
		assert.Equal(t, catalog.CodeNameTaken, refusalOf(t, err).Code)
		assert.Len(t, east.service.joins, 1)
		east.service.set(errNotLeader)
		_, _, err = join(t.Context(), west, tokenOf(t, east, east.address))
		require.ErrorIs(t, err, errNotLeader)
		east.service.set(errors.New("write /var/lib/meshway: no space"))
		_, _, err = join(t.Context(), west, tokenOf(t, east, east.address))
		require.ErrorContains(t, err, "log of east/gw1")
		require.NotContains(t, err.Error(), "/var/lib")
	})
}

func TestJoinNeedsACertificateOfTheCAInTheRequest(t *testing.T) {
	tests := map[string]struct {
		change func(t *testing.T, r *controlpb.JoinRequest, east *gateway)
		code   string
	}{
		"the CA of another datacenter": {
			change: func(_ *testing.T, r *controlpb.JoinRequest, east *gateway) {
				r.Datacenter.CaCertificate = east.ca.Certificate()
			},
			code: catalog.CodeCertificate,
		},
		"no CA": {
			change: func(_ *testing.T, r *controlpb.JoinRequest, _ *gateway) { r.Datacenter.CaCertificate = nil },
			code:   catalog.CodeCertificate,
		},
		"no datacenter": {
			change: func(_ *testing.T, r *controlpb.JoinRequest, _ *gateway) { r.Datacenter = nil },
			code:   catalog.CodeCertificate,
		},
		"another datacenter's name": {
			change: func(_ *testing.T, r *controlpb.JoinRequest, _ *gateway) { r.Datacenter.Name = "east" },
			code:   catalog.CodeCertificate,
		},
		"another gateway's name": {
			change: func(_ *testing.T, r *controlpb.JoinRequest, _ *gateway) { r.Gateway.Name = "gw2" },
			code:   catalog.CodeCertificate,
		},
		"another federation": {
			change: func(_ *testing.T, r *controlpb.JoinRequest, _ *gateway) { r.FederationId = "another" },
			code:   catalog.CodeFederationDiffers,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFederation(t)
				east, west := f.member("east", eastIP), f.gateway("west", westIP)
				client := joinClient(t, west)
				request := joinRequest(west)
				_, err := client.Join(t.Context(), connect.NewRequest(request))
				require.NoError(t, err, "the same without the change")
				test.change(t, request, east)
				_, err = client.Join(t.Context(), connect.NewRequest(request))
				assert.Equal(t, test.code, refusalOf(t, rpc.FromConnect(err)).Code)
				assert.Len(t, east.service.joins, 1)
			})
		})
	}
}

func joinClient(t testing.TB, g *gateway) controlpbconnect.FederationClient {
	t.Helper()
	return controlpbconnect.NewFederationClient(rawClient(t, g, issue(t, g.ca, federationID, time.Now())), "https://gw1.east")
}

func joinRequest(g *gateway) *controlpb.JoinRequest {
	return &controlpb.JoinRequest{
		FederationId: federationID,
		Datacenter:   &catalogpb.Datacenter{Name: string(g.ca.Datacenter()), CaCertificate: g.ca.Certificate()},
		Gateway:      &catalogpb.Gateway{Name: "gw1"},
	}
}

func TestAttemptsToJoinAreLimitedForEachSource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFederation(t)
		f.member("east", eastIP)
		west, north := f.gateway("west", westIP), f.gateway("north", northIP)
		client := joinClient(t, west)
		refused := 0
		for range 30 {
			_, err := client.Join(t.Context(), connect.NewRequest(joinRequest(west)))
			if connect.CodeOf(err) == connect.CodeResourceExhausted {
				refused++
			}
		}
		assert.Equal(t, 20, refused)
		_, err := joinClient(t, north).Join(t.Context(), connect.NewRequest(joinRequest(north)))
		require.NoError(t, err, "another source is not limited")
		time.Sleep(2 * time.Second)
		_, err = client.Join(t.Context(), connect.NewRequest(joinRequest(west)))
		require.NoError(t, err)
	})
}

func TestJoinEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFederation(t)
		east, west := f.member("east", eastIP), f.gateway("west", westIP)
		f.fabric.Isolate("east")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, _, err := join(ctx, west, tokenOf(t, east, east.address, east.address, east.address))
		require.True(t, errors.Is(err, context.DeadlineExceeded), "%v", err)
	})
}
