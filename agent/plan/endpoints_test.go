package plan_test

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/agent/plan/gatewayplan"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/tunnel"
)

// kept is the text of a planned endpoint that leaves it as it is.
const kept = "invalid AddrPort"

// plannedEndpoint returns the endpoint of a gateway in the plan.
func plannedEndpoint(t *testing.T, in plan.Inputs, id catalog.GatewayID) string {
	t.Helper()
	d, _ := gatewayplan.Compute(in)
	for _, g := range in.Catalog.Gateways {
		for _, c := range d.Tunnels {
			for _, p := range c.Peers {
				if g.ID() == id && p.PublicKey == tunnel.PublicKey(g.PublicKey) {
					return p.Endpoint.String()
				}
			}
		}
	}
	require.Fail(t, "no such peer")
	return ""
}

// setEndpoint sets the endpoint of north/a in the data plane.
func setEndpoint(in *plan.Inputs, endpoint string) {
	in.Observed.Tunnels[0].Peers[0].Endpoint = netip.MustParseAddrPort(endpoint)
}

func TestLiveEndpointIsKeptAndOthersRotate(t *testing.T) {
	list := endpoints("192.0.2.2:51820", "192.0.2.22:51820", "192.0.2.222:51820")
	first, second, third, roamed := "192.0.2.2:51820", "192.0.2.22:51820", "192.0.2.222:51820", "198.51.100.7:999"
	cases := map[string]struct {
		have      string
		down      time.Duration // 0: up
		recorded  bool          // the catalog has our observation of roamed
		draining  bool
		handshake time.Duration // ago; 0: never
		heard     time.Duration // ago; 0: never
		want      string
		session   bool // WireGuard's may still be valid: the peer is not renewed
	}{
		"up, first":                    {have: first, want: kept},
		"up, another":                  {have: third, want: kept},
		"up, roamed":                   {have: roamed, want: kept},
		"draining, roamed":             {have: roamed, down: time.Minute, draining: true, want: kept},
		"just down: kept for one turn": {have: third, down: 900 * time.Millisecond, want: kept},
		"second turn":                  {have: third, down: 1100 * time.Millisecond, want: second},
		"third turn":                   {have: second, down: 2 * time.Second, want: third},
		"fourth turn, from the start":  {have: third, down: 3 * time.Second, want: first},
		"the turn does not depend on the current one": {have: first, down: 2 * time.Second, want: third},
		"its turn":                              {have: third, down: 2 * time.Second, want: kept},
		"turns are long after a minute":         {have: first, down: 64 * time.Second, want: kept},
		"the second long turn":                  {have: first, down: 66 * time.Second, want: second},
		"just down, roamed and recorded":        {have: roamed, down: 900 * time.Millisecond, recorded: true, want: kept},
		"just down, not a candidate: given up":  {have: roamed, down: 900 * time.Millisecond, want: first},
		"long down, roamed: given up":           {have: roamed, down: time.Second, recorded: true, want: second},
		"the recorded one has its turn":         {have: third, down: 3 * time.Second, recorded: true, want: roamed},
		"clock set back while down: first turn": {have: second, down: -time.Minute, want: kept},

		"down, a handshake since":                {have: roamed, down: 9 * time.Second, handshake: 2 * time.Second, want: kept},
		"down, a handshake before":               {have: roamed, down: time.Second, handshake: 2 * time.Second, want: second, session: true},
		"down, packets since":                    {have: roamed, down: time.Minute, handshake: 2 * time.Minute, heard: 14 * time.Second, want: kept},
		"down, silent for as long as a new try":  {have: roamed, down: 66 * time.Second, handshake: 50 * time.Second, heard: 16 * time.Second, want: second},
		"down, packets of an expired session":    {have: roamed, down: 66 * time.Second, handshake: 4 * time.Minute, heard: time.Second, want: second, session: true},
		"down, packets without a handshake ever": {have: roamed, down: time.Second, heard: time.Second, want: second},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			in := running()
			in.Endpoints["north/a"] = list
			setEndpoint(&in, c.have)
			if c.recorded {
				in.Catalog.Observations = []catalog.Observation{{Observer: "east/a", Peer: "north/a", Endpoint: netip.MustParseAddrPort(roamed)}}
			}
			if c.down != 0 {
				fail(&in, "north/a")
				sessionOf(&in, "north/a").Since = now.Add(-c.down)
			}
			sessionOf(&in, "north/a").Draining = c.draining
			if c.handshake != 0 {
				in.Observed.Tunnels[0].Peers[0].LastHandshake = now.Add(-c.handshake)
			}
			if c.heard != 0 {
				sessionOf(&in, "north/a").LastPacket = now.Add(-c.heard)
			}
			assert.Equal(t, c.want, plannedEndpoint(t, in, "north/a"))
			d, _ := gatewayplan.Compute(in)
			assert.Equal(t, c.want != kept && !c.session, d.Tunnels[0].Peers[0].Renew)
		})
	}
}

// The first handshake is lost if the peer does not have this gateway yet, and WireGuard
// repeats it only after 5 s.
func TestLoneCandidateGetsAHandshakeInEachTurn(t *testing.T) {
	for name, c := range map[string]struct {
		down, before time.Duration // before: since the last pass; 0: there was none
		heard        time.Duration // ago; 0: never
		arrived      time.Duration // ago, the first packet of a handshake; 0: none
		undecided    bool
		renewed      bool
	}{
		"the turn of the first handshake":      {down: 900 * time.Millisecond, before: 100 * time.Millisecond},
		"a new turn":                           {down: 1100 * time.Millisecond, before: 200 * time.Millisecond, renewed: true},
		"the pass before was in the same turn": {down: 1900 * time.Millisecond, before: 200 * time.Millisecond},
		"the pass before was before it":        {down: 1900 * time.Millisecond, before: time.Minute, renewed: true},
		"the first pass of an agent":           {down: 1100 * time.Millisecond},
		"a handshake of the peer has begun":    {down: 1100 * time.Millisecond, before: 200 * time.Millisecond, arrived: 900 * time.Millisecond},
		"it has not completed in a turn":       {down: 1100 * time.Millisecond, before: 200 * time.Millisecond, arrived: time.Second, renewed: true},
		"the peer may have a session":          {down: 4 * time.Second, before: time.Second, heard: 10 * time.Second},
		"no verdict yet":                       {down: 1100 * time.Millisecond, before: 200 * time.Millisecond, undecided: true, renewed: true},
		"no verdict yet, a session":            {down: 20 * time.Second, before: time.Second, heard: 19 * time.Second, undecided: true},
		"after a minute WireGuard repeats it":  {down: 66 * time.Second, before: 2 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			in := running()
			in.Endpoints["north/a"] = endpoints("192.0.2.2:51820")
			setEndpoint(&in, "192.0.2.2:51820")
			fail(&in, "north/a")
			sessionOf(&in, "north/a").Since, sessionOf(&in, "north/a").Undecided = now.Add(-c.down), c.undecided
			if c.before != 0 {
				in.Before = now.Add(-c.before)
			}
			if c.heard != 0 {
				in.Observed.Tunnels[0].Peers[0].LastHandshake = now.Add(-c.heard)
			}
			peer := &in.Observed.Tunnels[0].Peers[0]
			peer.ReceivedBytes = 148
			if c.arrived != 0 {
				in.Observed.Arrivals = map[tunnel.PublicKey]plan.Arrival{peer.PublicKey: {First: now.Add(-c.arrived)}}
			}
			d, _ := gatewayplan.Compute(in)
			assert.Equal(t, c.renewed, d.Tunnels[0].Peers[0].Renew)
			assert.Equal(t, c.renewed, d.Tunnels[0].Peers[0].RenewAt == 148)
		})
	}
}

func sessionOf(in *plan.Inputs, id catalog.GatewayID) *plan.Session {
	for i := range in.Observed.Sessions {
		if in.Observed.Sessions[i].Gateway == id {
			return &in.Observed.Sessions[i]
		}
	}
	return nil
}

func TestNewPeerStartsWithTheFirstCandidateOfALocalFamily(t *testing.T) {
	in := federation()
	assert.Equal(t, "192.0.2.3:51820", plannedEndpoint(t, in, "west/a"), "this host has no IPv6")
	in.Host.Addresses = append(in.Host.Addresses, netip.MustParseAddr("2001:db8::1"))
	assert.Equal(t, "[2001:db8::3]:51820", plannedEndpoint(t, in, "west/a"))
	in.Host.Addresses = nil
	assert.Equal(t, "[2001:db8::3]:51820", plannedEndpoint(t, in, "west/a"), "the addresses of this host are not known")
}

func TestNewAdvertisedEndpointOfADownPeerIsUsedAtOnce(t *testing.T) {
	in := running()
	fail(&in, "north/a")
	in.Endpoints["north/a"] = endpoints("203.0.113.2:51820")
	assert.Equal(t, "203.0.113.2:51820", plannedEndpoint(t, in, "north/a"))
}

func TestAdvertisedAddressesOfOneHostOrLinkAreNotUsed(t *testing.T) {
	for _, loopback := range []string{
		"127.0.0.1:51820", "127.8.0.1:51820", "[::1]:51820", "[::ffff:127.0.0.1]:51820",
		"169.254.169.254:51820", "[fe80::1]:51820", "[::ffff:169.254.169.254]:51820", // metadata of clouds
	} {
		in := federation()
		in.Endpoints["north/a"] = endpoints(loopback, "198.51.100.7:51820")
		assert.Equal(t, "198.51.100.7:51820", plannedEndpoint(t, in, "north/a"), loopback)
	}
}

func TestPortsFollowTheLane(t *testing.T) {
	in := federation()
	in.Self = "west/b" // index 1: on the peers this gateway is in lane 1
	in.Endpoints["east/a"] = endpoints("192.0.2.9:51820")
	d, _ := gatewayplan.Compute(in)
	require.Len(t, d.Tunnels, 1, "each other datacenter has one gateway, of index 0")
	assert.Equal(t, uint16(51820), d.Tunnels[0].ListenPort)
	for _, p := range d.Tunnels[0].Peers {
		assert.Equal(t, uint16(51821), p.Endpoint.Port())
	}
}

func TestObservationsOfOthersAreCandidates(t *testing.T) {
	cases := map[string]struct {
		observer catalog.GatewayID
		seen     string
		want     string
	}{
		"same index: as observed":                   {"west/a", "198.51.100.7:4711", "198.51.100.7:4711"},
		"other index, port not translated: shifted": {"west/b", "198.51.100.7:51821", "198.51.100.7:51820"},
		"other index, port translated: none":        {"west/b", "198.51.100.7:4711", "invalid AddrPort"},
		"an observer that is no member":             {"gone/a", "198.51.100.7:4711", "invalid AddrPort"},
		"our own: as observed":                      {"east/a", "198.51.100.7:4711", "198.51.100.7:4711"},
		"an address of this host":                   {"west/a", "192.0.2.1:4711", "invalid AddrPort"},
		"a family of which this host has none":      {"west/a", "[2001:db8::7]:4711", "invalid AddrPort"},
		"in the overlay: a tunnel in the tunnel":    {"west/a", "[fd77::2]:51820", "invalid AddrPort"},
		"an unspecified address":                    {"west/a", "0.0.0.0:51820", "invalid AddrPort"},
		"mapped IPv4 addresses are unwrapped":       {"west/a", "[::ffff:198.51.100.7]:4711", "198.51.100.7:4711"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			in := federation()
			in.Endpoints["north/a"] = nil
			if c.observer == "west/b" {
				in.Endpoints["north/a"] = endpoints("[fd77::2]:51820") // provides the base port only: the overlay is no endpoint
			}
			in.Catalog.Observations = []catalog.Observation{{Observer: c.observer, Peer: "north/a", Endpoint: netip.MustParseAddrPort(c.seen)}}
			assert.Equal(t, c.want, plannedEndpoint(t, in, "north/a"))
		})
	}
}

func TestAFewObservationsAreTried(t *testing.T) {
	in := running()
	fail(&in, "north/a")
	for port := range uint16(20) {
		id := catalog.NewGatewayID(catalog.DatacenterName(fmt.Sprintf("dc%d", port)), "a")
		in.Catalog.Gateways = append(in.Catalog.Gateways, gateway(id.Datacenter(), id.Name(), 0, byte(100+port)))
		in.Catalog.Observations = append(in.Catalog.Observations, catalog.Observation{
			Observer: id, Peer: "north/a", Endpoint: netip.AddrPortFrom(netip.MustParseAddr("198.51.100.7"), port+1), At: now.Add(time.Duration(port) * time.Second),
		})
	}
	tried := map[string]bool{}
	for turn := range 30 {
		sessionOf(&in, "north/a").Since = now.Add(-time.Duration(turn) * time.Second)
		tried[plannedEndpoint(t, in, "north/a")] = true
	}
	want := map[string]bool{kept: true}
	for _, port := range []int{20, 19, 18, 17} { // the newest
		want[fmt.Sprintf("198.51.100.7:%d", port)] = true
	}
	assert.Equal(t, want, tried)
}

func TestGatewaysWithoutACommonFamilyAreReportedAndNotTried(t *testing.T) {
	for name, c := range map[string]struct {
		host, peer []string
		want       string // code of the problem
	}{
		"IPv4 only to IPv6 only": {host: []string{"192.0.2.1"}, peer: []string{"[2001:db8::2]:51820"}, want: "no-common-family"},
		"IPv6 only to IPv4 only": {host: []string{"2001:db8::1"}, peer: []string{"192.0.2.2:51820"}, want: "no-common-family"},
		"dual stack":             {host: []string{"192.0.2.1"}, peer: []string{"[2001:db8::2]:51820", "192.0.2.2:51820"}},
		"link-local addresses":   {host: []string{"192.0.2.1", "fe80::1"}, peer: []string{"[2001:db8::2]:51820"}, want: "no-common-family"},
		"nothing is known":       {peer: []string{"192.0.2.2:51820"}},
		"nothing is advertised":  {host: []string{"192.0.2.1"}, want: "endpoint-missing"},
	} {
		t.Run(name, func(t *testing.T) {
			in := federation()
			in.Host.Addresses = addresses(c.host...)
			in.Endpoints = map[catalog.GatewayID][]netip.AddrPort{"north/a": endpoints(c.peer...)}
			in.Catalog.Gateways = in.Catalog.Gateways[:2] // east/a and north/a
			in.Catalog.Datacenters = in.Catalog.Datacenters[:2]
			in.Observed.Sessions = []plan.Session{{Gateway: "north/a", Since: now.Add(-time.Hour)}}
			assert.Equal(t, c.want != "", plannedEndpoint(t, in, "north/a") == kept)
			_, problems := gatewayplan.Compute(in)
			codes := []string{}
			for _, p := range problems {
				codes = append(codes, p.Code)
			}
			switch c.want {
			case "no-common-family":
				require.Equal(t, []string{c.want}, codes, "one cause is one problem")
				for _, part := range []string{"gateway east/a, which has", "gateway north/a, which advertises", "IPv4", "IPv6"} {
					assert.Contains(t, problems[0].Message, part)
				}
				assert.Contains(t, problems[0].Remedy, "wireguard.advertise and control.advertise")
			case "endpoint-missing":
				assert.ElementsMatch(t, []string{c.want, "datacenter-unreachable"}, codes)
			default:
				assert.Equal(t, []string{"datacenter-unreachable"}, codes)
			}
		})
	}
}

func TestFamilyWithADefaultRouteIsTriedFirst(t *testing.T) {
	in := federation()
	in.Host = hostWith([]string{"eth0"}, "192.0.2.1 eth0 p", "fd00::1 eth0 p")
	assert.Equal(t, "192.0.2.3:51820", plannedEndpoint(t, in, "west/a"))
}

func TestPeerWithoutEndpointIsReported(t *testing.T) {
	in := federation()
	delete(in.Endpoints, "north/a")
	_, problems := gatewayplan.Compute(in)
	require.Len(t, problems, 1)
	assert.Equal(t, "endpoint-missing", problems[0].Code)
	assert.Equal(t, "gateway north/a", problems[0].Subject)
}

func TestObservationsAreRecordedOnce(t *testing.T) {
	advertised, roamed := "192.0.2.2:51820", "198.51.100.7:999"
	cases := map[string]struct {
		seen, recorded string
		up             bool
		want           string // empty: nothing is recorded
	}{
		"as advertised":                        {seen: advertised, up: true},
		"roamed":                               {seen: roamed, up: true, want: roamed},
		"roamed, recorded":                     {seen: roamed, recorded: roamed, up: true},
		"roamed again":                         {seen: roamed, recorded: "198.51.100.7:1", up: true, want: roamed},
		"back to the advertised one":           {seen: advertised, recorded: roamed, up: true, want: advertised},
		"back to the advertised one, recorded": {seen: advertised, recorded: advertised, up: true},
		"not up":                               {seen: roamed},
		"in the overlay: never":                {seen: "[fd77::2]:1", up: true},
		"mapped address of the advertised":     {seen: "[::ffff:192.0.2.2]:51820", up: true},
		"mapped address of the recorded":       {seen: "[::ffff:198.51.100.7]:999", recorded: roamed, up: true},
		"mapped address of a new endpoint":     {seen: "[::ffff:198.51.100.7]:999", up: true, want: roamed},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			in := running()
			setEndpoint(&in, c.seen)
			sessionOf(&in, "north/a").Up = c.up
			if c.recorded != "" {
				in.Catalog.Observations = []catalog.Observation{{Observer: "east/a", Peer: "north/a", Endpoint: netip.MustParseAddrPort(c.recorded)}}
			}
			d, _ := gatewayplan.Compute(in)
			if c.want == "" {
				assert.Empty(t, d.Registration.Observations)
				return
			}
			require.Len(t, d.Registration.Observations, 1)
			assert.Equal(t, catalog.Observation{Observer: "east/a", Peer: "north/a", Endpoint: netip.MustParseAddrPort(c.want), At: now}, d.Registration.Observations[0])
		})
	}
}

func TestGatewayThatTwoHostsRunIsTheOnlyExplanation(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*plan.Session)
		want   string // subject
	}{
		"a peer":       {func(s *plan.Session) { s.PeerCopied = true }, "gateway north/a"},
		"this gateway": {func(s *plan.Session) { s.SelfCopied = true }, "gateway east/a"},
	} {
		t.Run(name, func(t *testing.T) {
			in := running()
			fail(&in, "north/a")
			c.change(sessionOf(&in, "north/a"))
			_, problems := gatewayplan.Compute(in)
			require.Len(t, problems, 1)
			assert.Equal(t, "gateway-copied", problems[0].Code)
			assert.Equal(t, c.want, problems[0].Subject)
			assert.Equal(t, plan.Error, problems[0].Severity)
		})
	}
}
