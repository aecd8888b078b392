package control_test

import (
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/agent/control"
	"github.com/meshway/meshway/consensus/catalog/catalogpb"
)

// silentAddresses are those of a host that has no gateway.
func silentAddresses() []string { return []string{"203.0.113.98:7443", "203.0.113.97:7443"} }

// TestSilentAddressesDoNotDelayAdmission has two addresses without a gateway before the
// right one, like those of private networks that a gateway advertises first.
func TestSilentAddressesDoNotDelayAdmission(t *testing.T) {
	for name, silence := range map[string]func(t *testing.T, f *federation){
		"packets are dropped": func(_ *testing.T, f *federation) { f.fabric.Isolate("silent") },
		"connections are accepted": func(t *testing.T, f *federation) {
			listener, err := f.fabric.Host("silent", "203.0.113.98", "203.0.113.97").Listen(t.Context(), netip.MustParseAddrPort("[::]:7443"), control.Underlay)
			require.NoError(t, err)
			t.Cleanup(func() { assert.NoError(t, listener.Close()) })
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFederation(t)
				east, west := f.member("east", eastIP), f.gateway("west", westIP)
				f.fabric.Host("silent", "203.0.113.98", "203.0.113.97")
				silence(t, f)

				start := time.Now()
				_, steps, err := join(t.Context(), west, tokenOf(t, east, append(silentAddresses(), east.address)...))
				require.NoError(t, err)
				assert.Equal(t, "prove-pin", steps[len(steps)-1])
				assert.Less(t, time.Since(start), time.Second, "join")
				assert.Len(t, east.service.joins, 1)

				contact := contactOf(east)
				contact.Addresses = append(silentAddresses(), contact.Addresses...)
				start = time.Now()
				_, err = enrol(t.Context(), west, east.ca, &catalogpb.Gateway{Name: "gw2"}, contact)
				require.NoError(t, err)
				assert.Less(t, time.Since(start), time.Second, "enrol")
				assert.Len(t, east.service.enrols, 1)
			})
		})
	}
}
