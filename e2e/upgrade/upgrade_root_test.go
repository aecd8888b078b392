//go:build linux && root

package upgrade_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/e2e/harness"
	"github.com/meshway/meshway/e2e/upgrade"
)

const timeout = 2 * time.Minute

var (
	from   = flag.String("from", upgrade.Oldest, "the revision of the older build")
	record = flag.String("record", "", "write testdata/recorded/`name` with the older build")
)

// The builds are made once, by TestMain.
var older, newer harness.Binaries

func TestMain(m *testing.M) {
	harness.Main()
	flag.Parse()
	os.Exit(harness.RunTests(m, build))
}

func build(ctx context.Context, dir string) error {
	repository := upgrade.Repository{Dir: "../.."}
	hash, err := repository.Resolve(ctx, *from)
	if err != nil && *from == upgrade.Oldest { // a clone without the history, as some CI makes
		log.Printf("the older build is that of the first commit of this clone instead: %v", err)
		hash, err = repository.First(ctx)
	}
	if err != nil {
		return err
	}
	olderDir, err := repository.Build(ctx, hash)
	if err != nil {
		return err
	}
	older = harness.BinariesIn(olderDir)
	newer, err = harness.Build(ctx, dir)
	return err
}

// TestFederationIsUpgradedAndDowngradedUnderTraffic replaces the build of one member
// after the other, from the older build to this one and back, and lets another member
// join both.
func TestFederationIsUpgradedAndDowngradedUnderTraffic(t *testing.T) {
	topology := newTopology(t, "east", "west", "north", "south", "centre")
	members := topology.Datacenters[:3]
	federate(t, older, members...)
	register(t, members[1], "web")
	tokens := []string{token(t, members[0]), token(t, members[0])}
	before := stateOf(t, members)
	require.NoError(t, harness.AwaitVoters(within(t), 3, members...))

	streams := startTraffic(t, members)
	for _, dc := range members {
		replace(t, dc, newer, members)
	}
	awaitLevel(t, members[0])
	awaitState(t, before)
	joinWith(t, topology.Datacenter("south"), newer, tokens[0])

	members = topology.Datacenters[:4]
	register(t, members[2], "api")
	before = stateOf(t, members)
	for i := range members {
		dc := members[len(members)-1-i]
		drain(t, dc)
		// The documented way back: the older build has no write-ahead log.
		require.NoError(t, dc.Configure(dc.Config("raft: {store: bolt}")))
		replace(t, dc, newer, members)
		require.NoError(t, dc.Configure(dc.Config()))
		replace(t, dc, older, members)
	}
	awaitState(t, before)
	joinWith(t, topology.Datacenter("centre"), newer, tokens[1])
	requireNoneLost(t, streams)
}

// drain drains the gateway, as the chart does before it replaces an agent: a leader
// steps down, and what that writes is in the log that the older build reads.
func drain(t *testing.T, dc *harness.Datacenter) {
	t.Helper()
	meshctl(t, dc, "drain", "--force", "--wait", "1s")
	meshctl(t, dc, "undrain")
}

// awaitLevel waits until the federation has the feature level of this build, and no
// member holds it back.
func awaitLevel(t *testing.T, dc *harness.Datacenter) {
	t.Helper()
	require.NoError(t, harness.Wait(within(t), "no member holds back the feature level", func(ctx context.Context) error {
		snapshot, err := dc.Status(ctx)
		if err == nil && (snapshot.Federation.FeatureLevel != catalog.Level || snapshot.Federation.HeldBack != nil) {
			err = fmt.Errorf("it is %d, held back: %v", snapshot.Federation.FeatureLevel, snapshot.Federation.HeldBack)
		}
		return err
	}))
}

func newTopology(t *testing.T, names ...string) *harness.Topology {
	t.Helper()
	lab, err := harness.NewLab(t.TempDir(), nil)
	require.NoError(t, err, "this test requires root")
	t.Cleanup(func() { assert.NoError(t, lab.Close()) })
	topology, err := harness.NewTopology(t.Context(), lab, names...)
	require.NoError(t, err)
	t.Cleanup(func() {
		for _, dc := range topology.Datacenters {
			if t.Failed() && dc.Agent != nil {
				lines := strings.Split(dc.Agent.Log(), "\n")
				t.Logf("meshd on %s:\n%s", dc.Name, strings.Join(lines[max(0, len(lines)-40):], "\n"))
			}
		}
	})
	return topology
}

func federate(t *testing.T, binaries harness.Binaries, datacenters ...*harness.Datacenter) {
	t.Helper()
	for i, dc := range datacenters {
		if i > 0 {
			joinWith(t, dc, binaries, token(t, datacenters[0]))
			continue
		}
		start(t, dc, binaries)
		meshctl(t, dc, "init")
	}
	require.NoError(t, harness.AwaitFederation(within(t), datacenters...))
}

func joinWith(t *testing.T, dc *harness.Datacenter, binaries harness.Binaries, token string) {
	t.Helper()
	start(t, dc, binaries)
	meshctl(t, dc, "join", token)
}

func start(t *testing.T, dc *harness.Datacenter, binaries harness.Binaries) {
	t.Helper()
	require.NoError(t, dc.Configure(dc.Config()))
	require.NoError(t, dc.Run(within(t), binaries))
}

// replace stops the agent of a member and starts another build, as a package manager
// does.
func replace(t *testing.T, dc *harness.Datacenter, binaries harness.Binaries, members []*harness.Datacenter) {
	t.Helper()
	require.NoError(t, dc.Agent.Terminate(within(t)))
	require.NoError(t, dc.Run(within(t), binaries))
	require.NoError(t, harness.AwaitFederation(within(t), members...))
}

func meshctl(t *testing.T, dc *harness.Datacenter, args ...string) string {
	t.Helper()
	out, err := dc.Meshctl(within(t), args...)
	require.NoError(t, err)
	return out
}

func token(t *testing.T, dc *harness.Datacenter) string {
	t.Helper()
	text, err := dc.Token(within(t))
	require.NoError(t, err)
	return text
}

func register(t *testing.T, dc *harness.Datacenter, name string) {
	t.Helper()
	meshctl(t, dc, "service", "register", name, "--address", dc.Workloads[0].Service.String(), "--port", "8080")
}

// traffic is what one member sends to another: short connections, and one that lasts.
type traffic struct {
	requests   *harness.Traffic
	connection *harness.Flow
}

func startTraffic(t *testing.T, members []*harness.Datacenter) map[string]traffic {
	t.Helper()
	streams := map[string]traffic{}
	for i, from := range members {
		host, server := from.Workloads[0].Host, harness.At(members[(i+1)%len(members)].Workloads[1].Pod)
		connection, err := host.Flow(t.Context(), server, 1000, 10*time.Millisecond)
		require.NoError(t, err)
		streams[from.Name] = traffic{host.Requests(t.Context(), server, 10*time.Millisecond), connection}
	}
	return streams
}

func requireNoneLost(t *testing.T, streams map[string]traffic) {
	t.Helper()
	for from, stream := range streams {
		report := stream.requests.Stop()
		pause := stream.connection.LongestPause()
		t.Logf("from %s: %d requests, %d lost; longest pause of a connection: %v", from, report.Sent, report.Lost(), pause)
		assert.Zero(t, report.Lost(), "of %d requests from %s: %v", report.Sent, from, report.Err)
		assert.Greater(t, report.Sent, 100, from)
		assert.NoError(t, stream.connection.Stop(), from)
		assert.Less(t, pause, 5*time.Second, from)
	}
}

// stateOf returns what a change of the build must keep, as each member reports it:
// members, identities, services. Tokens end with time; later joins use them.
func stateOf(t *testing.T, members []*harness.Datacenter) map[*harness.Datacenter]string {
	t.Helper()
	states := map[*harness.Datacenter]string{}
	for _, dc := range members {
		require.NoError(t, harness.Wait(within(t), dc.Name+" has a signature of each record", func(ctx context.Context) (err error) {
			states[dc], err = readState(ctx, dc)
			if err == nil && strings.Contains(states[dc], "unsigned") { // a member signs after its join
				err = errors.New(states[dc])
			}
			return err
		}))
	}
	return states
}

func awaitState(t *testing.T, before map[*harness.Datacenter]string) {
	t.Helper()
	for dc, want := range before {
		var got string
		err := harness.Wait(within(t), dc.Name+" has the state from before", func(ctx context.Context) (err error) {
			if got, err = readState(ctx, dc); err == nil && got != want {
				err = errors.New("it differs")
			}
			return err
		})
		if err != nil {
			assert.Equal(t, want, got)
		}
		require.NoError(t, err)
	}
}

func readState(ctx context.Context, dc *harness.Datacenter) (string, error) {
	var lines strings.Builder
	snapshot, err := dc.Status(ctx)
	if err != nil {
		return "", err
	}
	fmt.Fprintln(&lines, snapshot.Self.PublicKey, snapshot.Self.Overlay)
	for _, member := range snapshot.Datacenters {
		fmt.Fprintln(&lines, member.Name, member.JoinedAt, member.Prefixes)
		for _, gateway := range member.Gateways {
			fmt.Fprintln(&lines, gateway.ID, gateway.Overlay, gateway.Endpoints)
		}
	}
	var lists struct {
		Services    []struct{ Datacenter, Namespace, Name, Address string }
		Datacenters []struct{ Name, Fingerprint, State string }
	}
	for _, list := range []string{"services", "trust show"} {
		if err := dc.Query(ctx, &lists, strings.Fields(list)...); err != nil {
			return "", err
		}
	}
	fmt.Fprintf(&lines, "%+v\n", lists)
	return lines.String(), nil
}

func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeoutCause(t.Context(), timeout, fmt.Errorf("not within %s", timeout))
	t.Cleanup(cancel)
	return ctx
}
