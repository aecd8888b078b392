package rotation_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/agent/identity"
	"github.com/meshway/meshway/agent/rotation"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/succession"
)

func noon() time.Time { return time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC) }

func newCA(t *testing.T, at time.Time) *identity.CA {
	t.Helper()
	ca, err := identity.NewCA("east", at)
	require.NoError(t, err)
	return ca
}

func TestInterruptedRotationContinuesAndACompleteOneIsNotRepeated(t *testing.T) {
	ca := newCA(t, noon())
	dc := catalog.Datacenter{Name: "east", CACertificate: ca.Certificate()}
	announced := succession.With(dc, ca.Certificate(), nil)
	for name, test := range map[string]struct {
		dc    catalog.Datacenter
		again bool
		after time.Duration
		want  rotation.Stage
	}{
		"the first CA":                     {dc, false, time.Minute, rotation.Due},
		"announced":                        {announced, false, time.Minute, rotation.Pending},
		"announced, although again is set": {announced, true, time.Minute, rotation.Pending},
		"retired a minute ago":             {succession.Retire(announced), false, time.Minute, rotation.Done},
		"retired a minute ago, again":      {succession.Retire(announced), true, time.Minute, rotation.Due},
		"retired long ago":                 {succession.Retire(announced), false, 2 * rotation.Recent, rotation.Due},
	} {
		assert.Equal(t, test.want, rotation.StageOf(test.dc, ca, test.again, noon().Add(test.after)), name)
	}
}

func TestGatewayUsesTheCAOfTheCatalogOnceItHasTheKey(t *testing.T) {
	first, second, thief := newCA(t, noon()), newCA(t, noon().Add(time.Hour)), newCA(t, noon().Add(2*time.Hour))
	dc := func(ca *identity.CA) catalog.Datacenter {
		return catalog.Datacenter{Name: "east", CACertificate: ca.Certificate()}
	}
	shared := func(present, next *identity.CA, federation string) identity.SharedState {
		s := identity.SharedState{Membership: &identity.DatacenterMembership{FederationID: federation}}
		var err error
		s.Certificate, s.Key, err = present.Encode()
		require.NoError(t, err)
		if next != nil {
			s.NextCert, s.NextKey, err = next.Encode()
			require.NoError(t, err)
		}
		return s
	}
	for name, test := range map[string]struct {
		dc       catalog.Datacenter
		own      *identity.CA
		prepared *identity.CA
		shared   identity.SharedState
		want     *identity.CA
	}{
		"the own one":                                      {dc(first), first, second, shared(first, second, "f"), nil},
		"prepared on this host":                            {dc(second), first, second, identity.SharedState{}, second},
		"prepared by a sibling":                            {dc(second), first, nil, shared(first, second, "f"), second},
		"replaced by a sibling":                            {dc(second), first, nil, shared(second, nil, "f"), second},
		"replaced while this gateway was away":             {dc(first), first, nil, shared(first, nil, "f"), nil},
		"the catalog of this gateway is behind":            {catalog.Datacenter{Name: "east"}, first, nil, shared(second, nil, "f"), second},
		"a shared state that was restored from a backup":   {catalog.Datacenter{Name: "east"}, second, nil, shared(first, nil, "f"), nil},
		"a shared state of another federation":             {catalog.Datacenter{Name: "east"}, first, nil, shared(second, nil, "g"), nil},
		"a CA in the catalog whose key this gateway lacks": {dc(thief), first, second, shared(first, second, "f"), nil},
	} {
		t.Run(name, func(t *testing.T) {
			got := rotation.ChooseCA(test.dc, rotation.Keys{Own: test.own, Prepared: test.prepared, Shared: test.shared, Federation: "f"})
			if test.want == nil {
				assert.Nil(t, got)
				return
			}
			require.NotNil(t, got)
			assert.True(t, test.want.Equal(got))
		})
	}
}
