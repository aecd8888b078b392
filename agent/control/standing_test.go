package control_test

import (
	"crypto/tls"
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/agent/control"
	"github.com/meshway/meshway/agent/control/controlpb/controlpbconnect"
	"github.com/meshway/meshway/agent/identity"
	"github.com/meshway/meshway/consensus/catalog"
)

func TestWhoIsNoMemberAnyMoreIsToldSoAndHowFarThatIsKnown(t *testing.T) {
	for name, test := range map[string]struct {
		change func(w *world, west *gateway)
		no     bool
	}{
		"a member":                  {func(*world, *gateway) {}, false},
		"removed":                   {func(w *world, _ *gateway) { w.expel("west") }, true},
		"another one took its name": {func(w *world, _ *gateway) { w.admit("west", newCA(w.t, "west").Certificate()) }, true},
		"nobody answers":            {func(w *world, _ *gateway) { w.fabric.Host("east", "192.0.2.1") }, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.member("east", eastIP)
				west := w.member("west", westIP)
				test.change(w, west)
				err := west.port.Client().Standing(t.Context(), "east/gw1")
				no, ok := errors.AsType[*control.NotMemberError](err)
				require.Equal(t, test.no, ok, err)
				if ok {
					assert.Equal(t, catalog.GatewayID("east/gw1"), no.By)
					assert.EqualValues(t, catalogIndex, no.Index)
					assert.ErrorIs(t, err, identity.ErrNotMember)
				}
			})
		})
	}
}

func TestOtherReasonsToRefuseAreNotTakenForARemoval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.member("east", eastIP)
		west := w.member("west", westIP)
		for name, certificate := range map[string]*tls.Certificate{
			"expired":            issue(t, west.ca, federationID, time.Now().Add(-25*time.Hour)),
			"another federation": issue(t, west.ca, "another", time.Now()),
		} {
			request, err := http.NewRequestWithContext(t.Context(), http.MethodPost,
				"https://gw1.east"+controlpbconnect.FederationReadIndexProcedure, http.NoBody)
			require.NoError(t, err)
			request.Header.Set("Content-Type", "application/proto")
			response, err := strangerClient(t, west, certificate).Do(request)
			require.NoError(t, err)
			require.NoError(t, response.Body.Close())
			assert.Equal(t, http.StatusForbidden, response.StatusCode, name)
			assert.Empty(t, response.Header.Get("Meshway-Error"), name)
			assert.Empty(t, response.Header.Get("Meshway-Catalog-Index"), name)
		}
	})
}
