package dataplane

import (
	"errors"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/agent/interference"
	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/agent/status"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/replica"
	"github.com/meshway/meshway/routes"
	"github.com/meshway/meshway/routes/routestest"
	"github.com/meshway/meshway/tunnel"
	"github.com/meshway/meshway/tunnel/tunneltest"
)

func TestGatewayAppliesThePlanAndHandsOverTheRegistration(t *testing.T) {
	w := newGatewayWorld(t)
	w.registrar.onSet = func() {
		assert.Zero(t, w.tunnels.Calls(tunneltest.OpCreate), "the catalog does not wait for the kernel")
	}
	assert.Equal(t, retryInterval, w.pass(t.Context()), "the session is not observed yet")
	assert.Equal(t, []string{"mesh0"}, w.names(t))
	r := w.registrar.last()
	assert.True(t, r.Known)
	assert.Equal(t, catalog.GatewayID("dc0/gw"), r.Gateway.ID())
	assert.Equal(t, []string{"192.0.2.9:51820"}, r.Gateway.Endpoints)
	assert.Equal(t, []string{"192.0.2.9:7443"}, r.Gateway.Controls)
	assert.NotEmpty(t, r.Prefixes)
	assert.False(t, r.Gateway.Draining)
	assert.Equal(t, 1, w.published)
	w.registrar.onSet = nil

	assert.Equal(t, resyncInterval, w.pass(t.Context()))
	assert.Equal(t, 1, w.tunnels.Calls(tunneltest.OpCreate))
	assert.Empty(t, w.status().Errors)
	assert.True(t, w.Connected())
	w.liveness.up = false
	assert.Equal(t, retryInterval, w.pass(t.Context()), "a session is down")
	assert.False(t, w.Connected())
}

// A peer without a handshake is renewed in each second of its first minute. What a
// handshake of the peer has reached by then is not lost by that, whenever it arrives.
func TestAPeerIsNotRenewedInTheMiddleOfItsHandshake(t *testing.T) {
	for name, c := range map[string]struct {
		before, during, planned bool // arrives before the pass, while it reads its inputs, when it has planned
		completes               bool
		renewed                 bool
	}{
		"no handshake":                            {renewed: true},
		"it completes during the pass":            {during: true, completes: true},
		"it begins during the pass":               {during: true},
		"it begins after the plan":                {planned: true},
		"it began less than a second ago":         {before: true},
		"it did not complete, and another begins": {before: true, during: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newGatewayWorld(t)
				w.pass(t.Context())
				w.liveness.up, w.liveness.since = false, time.Now().Add(-2*time.Second)
				peer := w.last.Load().tunnels[0].Peers[0]
				arrive := func() {
					var handshake time.Time
					if c.completes {
						handshake = time.Now()
					}
					w.tunnels.Handshake("mesh0", peer.PublicKey, peer.Endpoint, handshake, 148)
				}
				time.Sleep(time.Second / 2)
				if c.before {
					arrive()
				}
				w.pass(t.Context())
				time.Sleep(time.Second / 2)
				if c.during {
					w.liveness.reading = arrive
				}
				if c.planned {
					w.registrar.onSet = arrive
				}
				w.pass(t.Context())
				now := w.last.Load().tunnels[0].Peers[0]
				assert.Equal(t, c.renewed, now.ReceivedBytes == 0)
			})
		})
	}
}

func TestTheFirewallIsWrittenBeforeTheFirstTunnel(t *testing.T) {
	w := newGatewayWorld(t)
	firewall := w.cfg.Kernel.Firewall.(*routestest.Filter)
	w.tunnels.Fail(func(op, _ string) error {
		if op == tunneltest.OpCreate {
			assert.NotZero(t, firewall.Writes())
		}
		return nil
	})
	w.pass(t.Context())
	require.Equal(t, 1, w.tunnels.Calls(tunneltest.OpCreate))
}

func TestUnencryptedPacketsThatAreDroppedAreAProblemForAWhile(t *testing.T) {
	w := newGatewayWorld(t)
	reported := func() bool {
		w.pass(t.Context())
		return slices.Contains(w.status().Problems, interference.Paths{}.UnencryptedDropped())
	}
	firewall := w.cfg.Kernel.Firewall.(*routestest.Filter)
	firewall.Count(routes.CounterUnencrypted, 5)
	assert.False(t, reported(), "they may be from before a restart")
	firewall.Count(routes.CounterUnderlay, 1)
	assert.False(t, reported())
	firewall.Count(routes.CounterUnencrypted, 1)
	assert.True(t, reported())
	assert.True(t, reported(), "the counter does not rise with every pass")
	last := *w.last.Load()
	last.drops.unencryptedAt = time.Now().Add(-dropMemory)
	w.last.Store(&last)
	assert.False(t, reported())
	assert.Equal(t, uint64(6), status.Build(w.status()).Dataplane.Dropped[routes.CounterUnencrypted])
}

func TestEndpointThatAPeerUsesIsNeverOverwritten(t *testing.T) {
	for name, used := range map[string]string{
		"another port":    "192.0.2.2:1024",
		"another address": "198.51.100.7:51820",
		"another family":  "[2001:db8::7]:51820",
	} {
		t.Run(name, func(t *testing.T) {
			w := newGatewayWorld(t)
			w.pass(t.Context())
			w.pass(t.Context())
			peer := w.last.Load().tunnels[0].Peers[0]
			from := netip.MustParseAddrPort(used)
			w.tunnels.Handshake("mesh0", peer.PublicKey, from, time.Now(), 1)
			w.pass(t.Context())
			now, ok := w.tunnels.Peer(peer.PublicKey)
			require.True(t, ok)
			assert.Equal(t, from, now.Endpoint)
			assert.Equal(t, from.String(), status.Build(w.status()).Datacenters[1].Gateways[0].Endpoint)
			observations := w.registrar.last().Observations
			require.Len(t, observations, 1)
			assert.Equal(t, from, observations[0].Endpoint)
		})
	}
}

func TestRoutesFollowSessionsWhileTunnelsCannotBeListed(t *testing.T) {
	w := newGatewayWorld(t)
	w.catchUp(t.Context())
	w.pass(t.Context())
	w.pass(t.Context())
	w.tunnels.Fail(func(op, _ string) error {
		if op == tunneltest.OpList {
			return assert.AnError
		}
		return nil
	})
	before := w.status().Routes.Config
	w.liveness.up = false
	w.pass(t.Context())
	assert.NotEmpty(t, w.status().Errors)
	assert.NotEqual(t, before, w.status().Routes.Config, "the lane is not used")
	assert.NotEmpty(t, w.liveness.set)
}

func TestGatewayAdoptsTunnelsOnceTheyCanBeListed(t *testing.T) {
	w := newGatewayWorld(t)
	w.pass(t.Context())
	next := newGatewayWorld(t)
	next.tunnels = w.tunnels
	next.cfg.Kernel.Tunnels = w.tunnels
	w.tunnels.Fail(func(op, _ string) error {
		if op == tunneltest.OpList {
			return assert.AnError
		}
		return nil
	})
	for range 2 {
		assert.Equal(t, retryInterval, next.pass(t.Context()))
		assert.Len(t, next.status().Errors, 1)
		assert.Empty(t, next.liveness.set, "nothing is planned")
		assert.False(t, next.registrar.last().Known)
	}
	creates := w.tunnels.Calls(tunneltest.OpCreate)
	w.tunnels.Fail(nil)
	next.pass(t.Context())
	assert.Empty(t, next.status().Errors)
	assert.Len(t, next.status().Tunnels, 1)
	assert.Equal(t, creates, w.tunnels.Calls(tunneltest.OpCreate), "the interface is adopted")
	assert.True(t, next.registrar.last().Known)
}

func TestGatewayRemovesNothingBeforeItsCatalogHasCaughtUp(t *testing.T) {
	w := newGatewayWorld(t)
	_, err := tunnel.Apply(t.Context(), w.tunnels, tunneltest.Key(1), []tunnel.Config{{Name: "mesh7", ListenPort: 51827}}, false)
	require.NoError(t, err)
	w.pass(t.Context())
	assert.ElementsMatch(t, []string{"mesh0", "mesh7"}, w.names(t))
	w.catchUp(t.Context())
	w.pass(t.Context())
	assert.Equal(t, []string{"mesh0"}, w.names(t))

	w.host.err = assert.AnError
	w.pass(t.Context())
	assert.Equal(t, []string{"mesh0"}, w.names(t))
	assert.Len(t, w.status().Errors, 1)
	assert.False(t, w.registrar.last().Known, "the addresses are not known")
}

func TestGatewayKeepsEverythingWhileItsRecordIsMissing(t *testing.T) {
	w := newGatewayWorld(t)
	w.catchUp(t.Context())
	w.pass(t.Context())
	w.cfg.Catalog = &fakeCatalog{state: replica.New()}
	w.forgetDepartures()
	w.pass(t.Context())
	assert.Equal(t, []string{"mesh0"}, w.names(t))
	assert.Len(t, w.status().Tunnels, 1, "the status still shows them")
	assert.False(t, w.registrar.last().Known)
}

// forgetDepartures forgets the former catalog, as if the grace had elapsed.
func (w *gatewayWorld) forgetDepartures() {
	p := *w.last.Load()
	p.departures = departures{}
	w.last.Store(&p)
}

func TestGatewayAnnouncesItsDrain(t *testing.T) {
	w := newGatewayWorld(t)
	w.pass(t.Context())
	require.NoError(t, w.cfg.Drain.Begin(time.Now().Add(time.Minute)))
	wait := w.pass(t.Context())
	assert.True(t, w.registrar.last().Gateway.Draining)
	w.liveness.up = true
	assert.Equal(t, resyncInterval, wait)
	require.NoError(t, w.cfg.Drain.Begin(time.Now().Add(time.Second)))
	assert.LessOrEqual(t, w.pass(t.Context()), time.Second, "the next pass is at the end of the drain")
	require.NoError(t, w.cfg.Drain.End())
	w.pass(t.Context())
	assert.Equal(t, []bool{false, true, true, false}, w.liveness.drained)
	assert.False(t, w.registrar.last().Gateway.Draining)
	var r plan.Reachability
	w.Reach(&r)
	assert.False(t, r.Draining)
}

func TestAFoundPathMTUBecomesThatOfTheRoutes(t *testing.T) {
	w := newGatewayWorld(t)
	w.pass(t.Context())
	w.pass(t.Context())
	assert.Equal(t, w.last.Load().desired.Tunnels[0].MTU, w.pathMTU.mtu, "the search is bounded by the interface")
	w.pathMTU.found = map[catalog.GatewayID]int{"dc1/gw": 1328}
	w.pass(t.Context())
	var mtus []int
	for _, r := range w.last.Load().routes.Routes {
		mtus = append(mtus, r.MTU)
	}
	assert.Contains(t, mtus, 1328)
}

func TestTheMTUIsThatOfTheLinksTowardsThePeers(t *testing.T) {
	w := newGatewayWorld(t)
	w.host.mtus = map[netip.Addr]int{netip.MustParseAddr("192.0.2.1"): 1300} // the default route
	w.pass(t.Context())
	for _, peer := range w.last.Load().desired.Tunnels[0].Peers {
		w.host.mtus[peer.Endpoint.Addr()] = 1400
	}
	w.pass(t.Context())
	w.pass(t.Context())
	assert.Equal(t, 1320, w.last.Load().desired.Tunnels[0].MTU)
}

func TestLedgerThatCannotBeStoredIsAProblemAndStopsNothing(t *testing.T) {
	w := newGatewayWorld(t)
	w.Gateway.cfg.Trust = trustAll{saveError: errors.New("disk full")}
	w.pass(t.Context())
	s := w.status()
	assert.Empty(t, s.Errors)
	assert.NotZero(t, s.LastApply)
	assert.True(t, slices.ContainsFunc(s.Problems, func(p plan.Problem) bool { return p.Code == "trust-not-saved" }))
}
