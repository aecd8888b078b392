package sim

import (
	"log/slog"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/agent/config"
	"github.com/meshway/meshway/agent/control/controltest"
	"github.com/meshway/meshway/agent/liveness/livenesstest"
	"github.com/meshway/meshway/agent/membership"
	"github.com/meshway/meshway/agent/status"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/consensustest"
)

// patience is how long a condition may take, in simulated time.
const patience = 2 * time.Minute

// world is a set of gateways and the network between them.
//
//	east ── 203.0.113.1 ─┐
//	west ── 203.0.113.2 ─┼─ underlay (fabric) ─ tunnels ─ overlay (fabric, air)
//	north ─ 203.0.113.3 ─┘
type world struct {
	t      *testing.T
	fabric *controltest.Fabric
	air    *livenesstest.Network

	mu    sync.Mutex // guards all following fields
	sites map[string]*site
	cut   map[[2]string]bool
}

// simulate runs a test in a world of its own and in simulated time.
func simulate(t *testing.T, test func(t *testing.T, w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &world{
			t: t, fabric: controltest.New(), air: livenesstest.New(1),
			sites: map[string]*site{}, cut: map[[2]string]bool{},
		}
		w.fabric.SetOverlay(w.linked)
		test(t, w)
	})
}

// site starts a datacenter with one gateway; number makes its addresses.
func (w *world) site(name string, number byte, change ...func(*config.Config)) *site {
	cfg := siteConfig(w.t, name, number)
	for _, c := range change {
		c(&cfg)
	}
	s := newSite(w, name, cfg, underlayOf(number))
	w.add(s)
	return s
}

func underlayOf(number byte) netip.Addr { return netip.AddrFrom4([4]byte{203, 0, 113, number}) }

func (w *world) add(s *site) {
	w.mu.Lock()
	w.sites[s.name()] = s
	w.mu.Unlock()
	s.start()
	w.t.Cleanup(s.stop)
}

func siteConfig(t *testing.T, name string, number byte) config.Config {
	text := strings.NewReplacer("NAME", name, "N", string('0'+rune(number)), "DIR", consensustest.TempDir(t)).Replace(`
datacenter: NAME
gateway: gw
dataDir: DIR
prefixes:
  pods: ["10.1N.0.0/16"]
  services: ["10.2N.0.0/16"]
`)
	cfg, err := config.Parse(strings.NewReader(text), "sim.yaml", config.Env{Hostname: "gw"})
	require.NoError(t, err)
	return cfg
}

// cutBetween stops or heals all packets between two sites.
func (w *world) cutBetween(a, b string, cut bool) {
	w.mu.Lock()
	w.cut[[2]string{a, b}], w.cut[[2]string{b, a}] = cut, cut
	w.mu.Unlock()
	if cut {
		w.fabric.Cut(a, b)
	} else {
		w.fabric.Heal(a, b)
	}
}

func (w *world) isolate(name string, cut bool) {
	for other := range w.all() {
		if other != name {
			w.cutBetween(name, other, cut)
		}
	}
}

func (w *world) all() map[string]*site {
	w.mu.Lock()
	defer w.mu.Unlock()
	sites := map[string]*site{}
	for name, s := range w.sites {
		sites[name] = s
	}
	return sites
}

// linked says whether a tunnel carries packets: both ends have each other as
// a peer, and at least one of them knows where the other is.
func (w *world) linked(from, to string) bool {
	w.mu.Lock()
	a, b, cut := w.sites[from], w.sites[to], w.cut[[2]string{from, to}]
	w.mu.Unlock()
	if cut || a == nil || b == nil {
		return false
	}
	there, knowsB := a.endpointOf(b)
	back, knowsA := b.endpointOf(a)
	return knowsA && knowsB && (there == b.endpoint() || back == a.endpoint())
}

// federate founds a federation at the first site and lets the others join.
func federate(t *testing.T, first *site, others ...*site) {
	t.Helper()
	_, err := first.agent.Init(t.Context(), membership.InitOptions{Name: "sim"})
	require.NoError(t, err)
	for _, s := range others {
		require.NoError(t, s.join(first.token(t)))
	}
	sites := append([]*site{first}, others...)
	for _, s := range sites {
		await(t, s.name()+" sees everybody", func() bool { return s.reachable() == len(sites) })
	}
	voters := len(sites)
	if voters%2 == 0 {
		voters--
	}
	await(t, "votes are given", func() bool { return first.agent.Status().Catalog.Voters == voters })
}

// await passes simulated time until the condition holds.
func await(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if holds() {
			return
		}
	}
	require.Fail(t, "in vain: "+what)
}

// leader returns the site that leads the catalog, and the others.
func leader(t *testing.T, sites ...*site) (lead *site, others []*site) {
	t.Helper()
	await(t, "a leader", func() bool {
		i := slices.IndexFunc(sites, func(s *site) bool { return s.agent.Status().Catalog.Role == "leader" })
		if i < 0 {
			return false
		}
		lead = sites[i]
		others = append(slices.Clone(sites[:i]), sites[i+1:]...)
		return true
	})
	return lead, others
}

func logger(name string) *slog.Logger {
	if os.Getenv("SIM_LOG") == "" {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug})).With("site", name)
}

func service(name, address string) catalog.Service {
	return catalog.Service{
		ServiceKey: catalog.ServiceKey{Name: name}, Address: netip.MustParseAddr(address),
		Ports: []catalog.Port{{Name: "http", Protocol: "tcp", Number: 80}},
	}
}

// sees says whether a site's own copy has a service.
func sees(s *site, name string) bool {
	member, err := s.agent.Member()
	return err == nil && len(member.View().Services(catalog.ServiceFilter{Name: name})) > 0
}

func problems(s status.Snapshot) []string {
	var codes []string
	for _, p := range s.Problems {
		codes = append(codes, p.Code)
	}
	return codes
}
