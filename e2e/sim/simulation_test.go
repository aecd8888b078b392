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
	"github.com/meshway/meshway/agent/member"
	"github.com/meshway/meshway/agent/status"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/replica"
	"github.com/meshway/meshway/consensus/consensustest"
)

// timeout bounds the wait for a condition, in simulated time.
const timeout = 2 * time.Minute

// longTime is the simulated time after which all that an agent does by itself would
// have been done. The longest sequence is the removal of a gateway by another one: a
// lock of 3 minutes that a crashed gateway left, a check each minute, and a minute of
// absence.
const longTime = 5 * time.Minute

// simulation is a set of gateways and the networks between them.
//
//	east ── 203.0.113.1 ─┐
//	west ── 203.0.113.2 ─┼─ underlay (fabric) ─ tunnels ─ overlay (fabric, overlayNet)
//	north ─ 203.0.113.3 ─┘
type simulation struct {
	t          *testing.T
	fabric     *controltest.Fabric
	overlayNet *livenesstest.Network

	mu       sync.Mutex // guards all following fields
	gateways map[string]*gateway
	cut      map[[2]string]bool
}

// simulate runs a test with a new simulation, in simulated time, beside other tests.
func simulate(t *testing.T, test func(t *testing.T, sim *simulation)) {
	t.Helper()
	t.Parallel()
	simulateNext(t, test)
}

// simulateNext runs the next part of a test with a new simulation.
func simulateNext(t *testing.T, test func(t *testing.T, sim *simulation)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		sim := &simulation{
			t:          t,
			fabric:     controltest.New(),
			overlayNet: livenesstest.New(1),
			gateways:   map[string]*gateway{},
			cut:        map[[2]string]bool{},
		}
		sim.fabric.SetOverlay(sim.connected)
		test(t, sim)
	})
}

// datacenter starts a datacenter with one gateway. Its prefixes and its underlay
// address contain number.
func (sim *simulation) datacenter(name string, number byte, change ...func(*config.Config)) *gateway {
	cfg := configOf(sim.t, name, number)
	for _, c := range change {
		c(&cfg)
	}
	g := newGateway(sim, name, cfg, underlayOf(number))
	sim.add(g)
	return g
}

func underlayOf(number byte) netip.Addr { return netip.AddrFrom4([4]byte{203, 0, 113, number}) }

func (sim *simulation) add(g *gateway) {
	sim.mu.Lock()
	sim.gateways[g.name()] = g
	sim.mu.Unlock()
	g.start()
	sim.t.Cleanup(g.stop)
}

// configOf returns a configuration. Most packets of a simulation are those of liveness:
// three a second suffice where the default is ten.
func configOf(t *testing.T, name string, number byte) config.Config {
	text := strings.NewReplacer("NAME", name, "N", string('0'+rune(number)), "DIR", consensustest.TempDir(t)).Replace(`
datacenter: NAME
gateway: gw
dataDir: DIR
liveness: {interval: 300ms}
prefixes:
  pods: ["10.1N.0.0/16"]
  services: ["10.2N.0.0/16"]
`)
	cfg, err := config.Parse(strings.NewReader(text), "sim.yaml", config.Env{Hostname: "gw"})
	require.NoError(t, err)
	return cfg
}

// setCut starts or stops to drop all packets between two gateways.
func (sim *simulation) setCut(a, b string, cut bool) {
	sim.mu.Lock()
	sim.cut[[2]string{a, b}], sim.cut[[2]string{b, a}] = cut, cut
	sim.mu.Unlock()
	if cut {
		sim.fabric.Cut(a, b)
	} else {
		sim.fabric.Heal(a, b)
	}
}

// setIsolated starts or stops to drop all packets between a gateway and the others.
func (sim *simulation) setIsolated(name string, cut bool) {
	for other := range sim.allGateways() {
		if other != name {
			sim.setCut(name, other, cut)
		}
	}
}

func (sim *simulation) allGateways() map[string]*gateway {
	sim.mu.Lock()
	defer sim.mu.Unlock()
	sites := map[string]*gateway{}
	for name, g := range sim.gateways {
		sites[name] = g
	}
	return sites
}

// connected reports whether a tunnel carries packets: the gateways are peers of
// each other, and at least one has the right endpoint of the other.
func (sim *simulation) connected(from, to string) bool {
	sim.mu.Lock()
	a, b, cut := sim.gateways[from], sim.gateways[to], sim.cut[[2]string{from, to}]
	sim.mu.Unlock()
	if cut || a == nil || b == nil {
		return false
	}
	endpointB, hasB := a.endpointOf(b)
	endpointA, hasA := b.endpointOf(a)
	return hasA && hasB && (endpointB == b.endpoint() || endpointA == a.endpoint())
}

// federate initializes a federation on the first gateway, joins the others, and
// waits until all reach each other.
func federate(t *testing.T, first *gateway, others ...*gateway) {
	t.Helper()
	_, err := first.agent.Init(t.Context(), member.InitOptions{Name: "sim"})
	require.NoError(t, err)
	for _, g := range others {
		require.NoError(t, g.join(first.createToken(t)))
	}
	sites := append([]*gateway{first}, others...)
	for _, g := range sites {
		await(t, g.name()+" reaches all datacenters", func() bool { return g.reachable() == len(sites) })
	}
	voters := len(sites)
	if voters%2 == 0 {
		voters--
	}
	await(t, "the gateways are voters", func() bool { return first.agent.Status().Catalog.Voters == voters })
}

// await advances simulated time until the condition holds.
func await(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(timeout); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if condition() {
			return
		}
	}
	require.Fail(t, "timed out waiting until "+what)
}

// leader returns the leader of the catalog and the other gateways.
func leader(t *testing.T, sites ...*gateway) (lead *gateway, others []*gateway) {
	t.Helper()
	await(t, "there is a leader", func() bool {
		i := slices.IndexFunc(sites, func(g *gateway) bool { return g.agent.Status().Catalog.Role == "leader" })
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

// hasService reports whether a gateway's replica of the catalog has a service.
func hasService(g *gateway, name string) bool {
	member, err := g.agent.Member()
	return err == nil && len(member.View().Services(replica.ServiceFilter{Name: name})) > 0
}

// problemCodes returns the codes of the problems in a snapshot.
func problemCodes(s status.Snapshot) []string {
	var codes []string
	for _, p := range s.Problems {
		codes = append(codes, p.Code)
	}
	return codes
}
