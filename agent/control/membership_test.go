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

func TestCheckMembershipReportsARemovalAndTheCatalogIndex(t *testing.T) {
	for name, test := range map[string]struct {
		change  func(f *federation, west *gateway)
		removed bool
	}{
		"a member":                {func(*federation, *gateway) {}, false},
		"removed":                 {func(f *federation, _ *gateway) { f.remove("west") }, true},
		"another CA has its name": {func(f *federation, _ *gateway) { f.admit("west", newCA(f.t, "west").Certificate()) }, true},
		"no gateway answers":      {func(f *federation, _ *gateway) { f.fabric.Host("east", "192.0.2.1") }, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFederation(t)
				f.member("east", eastIP)
				west := f.member("west", westIP)
				test.change(f, west)
				err := west.port.Client().CheckMembership(t.Context(), "east/gw1")
				notMember, ok := errors.AsType[*control.NotMemberError](err)
				require.Equal(t, test.removed, ok, err)
				if ok {
					assert.Equal(t, catalog.GatewayID("east/gw1"), notMember.Gateway)
					assert.EqualValues(t, catalogIndex, notMember.Index)
					assert.ErrorIs(t, err, identity.ErrNotMember)
				}
			})
		})
	}
}

func TestOtherRefusalsDoNotReportARemoval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFederation(t)
		f.member("east", eastIP)
		west := f.member("west", westIP)
		for name, certificate := range map[string]*tls.Certificate{
			"expired":            issue(t, west.ca, federationID, time.Now().Add(-25*time.Hour)),
			"another federation": issue(t, west.ca, "another", time.Now()),
		} {
			request, err := http.NewRequestWithContext(t.Context(), http.MethodPost,
				"https://gw1.east"+controlpbconnect.FederationReadIndexProcedure, http.NoBody)
			require.NoError(t, err)
			request.Header.Set("Content-Type", "application/proto")
			response, err := rawClient(t, west, certificate).Do(request)
			require.NoError(t, err)
			require.NoError(t, response.Body.Close())
			assert.Equal(t, http.StatusForbidden, response.StatusCode, name)
			assert.Empty(t, response.Header.Get("Meshway-Error"), name)
			assert.Empty(t, response.Header.Get("Meshway-Catalog-Index"), name)
		}
	})
}
