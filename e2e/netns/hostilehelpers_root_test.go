//go:build linux && root

package netns_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"github.com/meshway/meshway/agent/control"
	"github.com/meshway/meshway/agent/control/controlpb"
	"github.com/meshway/meshway/agent/identity"
	"github.com/meshway/meshway/agent/trust"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/catalogpb"
	"github.com/meshway/meshway/e2e/harness"
)

// with returns a program with the keys of another datacenter.
func (h *hostile) with(t *testing.T, dc *harness.Datacenter) *hostile {
	t.Helper()
	other := *h
	other.dc, other.ca = dc, caOf(t, dc)
	other.as(t, h.ids[dc])
	return &other
}

// invite admits a datacenter that runs nowhere with a token of the program, and returns a
// program with its keys.
func (h *hostile) invite(t *testing.T, token string) *hostile {
	t.Helper()
	ghost, refusal := h.tryInvite(t, token, "ghost", 0)
	require.Nil(t, refusal)
	return ghost
}

// tryInvite admits a datacenter as invite does, with a name and with the highest ordinals,
// unless the leader refuses it.
func (h *hostile) tryInvite(t *testing.T, token string, name catalog.DatacenterName, number byte) (*hostile, *catalog.Refusal) {
	t.Helper()
	ca, err := identity.NewCA(name, time.Now())
	require.NoError(t, err)
	certificate, err := ca.Issue("gw", h.federation, time.Now())
	require.NoError(t, err)
	dc, err := trust.SignDatacenter(certificate, h.federation, catalog.Datacenter{
		Name: name, CACertificate: ca.Certificate(), Ordinal: catalog.MaxOrdinal - uint32(number),
		Prefixes: []catalog.Prefix{{CIDR: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 66, number, 0}), 24), Kind: catalog.PodPrefix}},
	}, 1)
	require.NoError(t, err)
	join := catalog.NewJoin(catalog.JoinRequest{
		TokenID: token, SecretHash: h.secret.Hash(), FederationID: h.federation, Datacenter: dc,
		Gateway: catalog.Gateway{
			Datacenter: name, Name: "gw", PublicKey: catalog.Key{68, number}, Version: "devel", FeatureLevel: catalog.Level,
			Endpoints: []string{fmt.Sprintf("%s:%d", h.dc.Underlay.Addr(), 51990+int(number))}, Controls: []string{h.dc.Underlay.Addr().String() + ":7999"},
		},
	})
	join.GetJoin().Ordinal = dc.Ordinal
	results, err := h.apply(t, join)
	require.NoError(t, err)
	if results[0].Refusal != nil {
		return nil, results[0].Refusal
	}
	ghost := *h
	ghost.ca, ghost.number = ca, number
	ghost.as(t, catalog.NewGatewayID(name, "gw"))
	return &ghost, nil
}

// datagramsAmong starts a stream from each of the datacenters to each other one.
func datagramsAmong(t *testing.T, all []*harness.Datacenter) (streams []*harness.Traffic) {
	t.Helper()
	for _, from := range all {
		for _, to := range all {
			if from != to {
				streams = append(streams, datagrams(t, from, to))
			}
		}
	}
	return streams
}

// writeInTheBackground writes to the catalog at a gateway four times a second. None may fail.
// It returns a function that ends it, and returns how long the slowest write took and
// how many there were.
func writeInTheBackground(t *testing.T, at *harness.Datacenter) func() (slowest time.Duration, made int) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var ended sync.WaitGroup
	var slowest time.Duration
	made := 0
	ended.Go(func() {
		ticker := time.NewTicker(250 * time.Millisecond)
		defer ticker.Stop()
		for range ticker.C {
			begin := time.Now()
			_, err := at.Meshctl(ctx, "service", "register", fmt.Sprint("background-", made%8), "--address", at.Workloads[0].Service.String(),
				"--port", strconv.Itoa(1+made%60_000))
			if ctx.Err() != nil {
				return
			}
			assert.NoError(t, err, "write %d", made)
			slowest = max(slowest, time.Since(begin))
			made++
		}
	})
	end := func() (time.Duration, int) {
		cancel()
		ended.Wait()
		return slowest, made
	}
	t.Cleanup(func() { end() })
	return end
}

// pauseAgent stops the agent, which would undo what the program writes, until the end of
// the test.
func (h *hostile) pauseAgent(t *testing.T) {
	t.Helper()
	require.NoError(t, h.dc.Agent.Pause())
	t.Cleanup(func() { assert.NoError(t, h.dc.Agent.Resume()) })
}

func (h *hostile) putService(name string, labels map[string]string) *catalogpb.Command {
	return catalog.NewPutServices([]catalog.Service{{
		ServiceKey: catalog.ServiceKey{Datacenter: h.id.Datacenter(), Namespace: "default", Name: name, Instance: "a"},
		Owner:      h.id, Address: h.dc.Workloads[0].Service, Ports: []catalog.Port{{Protocol: "tcp", Number: 80}}, Labels: labels,
	}})
}

// requireAccepted sends commands, of which the leader must refuse none, and returns their
// results.
func (h *hostile) requireAccepted(t *testing.T, commands ...*catalogpb.Command) []catalog.Result {
	t.Helper()
	results, err := h.apply(t, commands...)
	require.NoError(t, err)
	for i, r := range results {
		require.Nil(t, r.Refusal, "%T", commands[i].GetBody())
	}
	return results
}

// requireNoMember sends what members send to all honest gateways, each of which must refuse
// it as soon as its copy of the catalog is that of the leader.
func (h *hostile) requireNoMember(t *testing.T) {
	t.Helper()
	client := h.port.Client()
	for _, dc := range h.honest() {
		command := h.putService("stranger", nil)
		command.Author = string(h.id)
		eventually(t, timeout, dc.Name+" refuses calls of "+string(h.id), func(ctx context.Context) error {
			_, written := client.Apply(ctx, h.ids[dc], []*catalogpb.Command{proto.CloneOf(command)})
			read := client.CheckMembership(ctx, h.ids[dc])
			_, requested := client.FindCopies(ctx, h.ids[dc], &controlpb.FindCopiesRequest{Challenge: []byte("challenge"), Process: []byte("process")})
			if written == nil || read == nil || requested == nil {
				return fmt.Errorf("accepted a write: %t, a read: %t, a request: %t", written == nil, read == nil, requested == nil)
			}
			return nil
		})
	}
}

// flood sends a batch to all honest gateways over a number of connections with several
// calls each. Most calls are refused, or do not end in time.
func (h *hostile) flood(t *testing.T, connections, calls int, batch []*catalogpb.Command) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	var sent sync.WaitGroup
	for range connections {
		h.as(t, h.id) // another port, and so another connection
		client := h.port.Client()
		for _, dc := range h.honest() {
			for range calls {
				sent.Go(func() {
					var copied []*catalogpb.Command
					for _, c := range batch {
						copied = append(copied, proto.CloneOf(c))
					}
					_, _ = client.Apply(ctx, h.ids[dc], copied) // refused or not
				})
			}
		}
	}
	sent.Wait()
}

// enrol requests that a gateway of its datacenter is enrolled, first by at.
func (h *hostile) enrol(t *testing.T, at *harness.Datacenter, name string, key catalog.Key, endpoint string) error {
	t.Helper()
	contacts := []control.Contact{}
	for _, dc := range h.honest() {
		ca, err := identity.ParseCA(h.cas[catalog.DatacenterName(dc.Name)])
		require.NoError(t, err)
		contacts = append(contacts, control.Contact{Gateway: h.ids[dc], Pin: identity.PinOfCA(ca), Addresses: []string{controlOf(dc)}})
	}
	first := slices.IndexFunc(contacts, func(c control.Contact) bool { return c.Gateway == h.ids[at] })
	contacts = slices.Concat(contacts[first:], contacts[:first])
	enroller := control.Enroller{CA: h.ca, FederationID: h.federation, Sockets: sockets{h.dc.Gateway}}
	_, err := enroller.Enrol(within(t, timeout), contacts, &controlpb.EnrolRequest{Gateway: catalog.Gateway{
		Datacenter: h.id.Datacenter(), Name: name, PublicKey: key, Version: "devel", FeatureLevel: catalog.Level,
		Endpoints: []string{endpoint}, Controls: []string{controlOf(h.dc)},
	}.Proto()})
	return err
}

func metricsOf(t *testing.T, dc *harness.Datacenter) string {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: dc.Gateway.DialContext}}
	request, err := http.NewRequestWithContext(within(t, timeout), http.MethodGet, "http://127.0.0.1:9443/metrics", nil)
	require.NoError(t, err)
	response, err := client.Do(request)
	require.NoError(t, err)
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return string(text)
}

// peakMemory returns the most memory that the agent of dc has had, in MiB.
func peakMemory(t *testing.T, dc *harness.Datacenter) int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", dc.Agent.PID()))
	require.NoError(t, err)
	_, rest, found := strings.Cut(string(text), "VmHWM:")
	require.True(t, found)
	kib, err := strconv.Atoi(strings.Fields(rest)[0])
	require.NoError(t, err)
	return kib >> 10
}

// metadata is where clouds serve credentials to the programs of a host.
var metadata = netip.MustParseAddr("169.254.169.254")

// canary counts the connections and datagrams that arrive on a port of a host, at its
// loopback and link-local addresses.
func canary(t *testing.T, host *harness.Host, port uint16) *atomic.Int32 {
	t.Helper()
	require.NoError(t, host.AddAddress("lo", netip.PrefixFrom(metadata, 32)))
	t.Cleanup(func() { assert.NoError(t, host.RemoveAddress("lo", netip.PrefixFrom(metadata, 32))) })
	return arrivals(t, host, port)
}

// advertiseLocalAddresses advertises addresses that mean another host to each reader, and
// lets the others search for copies of this gateway there.
func (h *hostile) advertiseLocalAddresses(t *testing.T) {
	t.Helper()
	const port = 9191
	addresses := []string{"127.0.0.1:9191", "[::1]:9191", "169.254.169.254:9191", "[fe80::1]:9191", "224.0.0.1:9191", "[ff02::1]:9191", "0.0.0.0:9191", "[::ffff:127.0.0.1]:9191"}
	var canaries []*atomic.Int32
	for _, dc := range h.honest() {
		canaries = append(canaries, canary(t, dc.Gateway, port))
	}
	record := h.ownRecord(t)
	h.pauseAgent(t)
	certificate, err := h.ca.Issue(h.id.Name(), h.federation, time.Now())
	require.NoError(t, err)
	accepted := 0
	for _, address := range addresses { // alone, so that no other one hides it
		record.PublicKey = catalog.Key{66, byte(accepted)}
		record.Endpoints, record.Controls = []string{address}, []string{address}
		signed, err := trust.SignGateway(certificate, h.federation, record, uint64(time.Now().UnixMilli()))
		require.NoError(t, err)
		results, err := h.apply(t, catalog.NewUpdateGateway(signed))
		require.NoError(t, err)
		if results[0].Refusal != nil {
			continue
		}
		accepted++
		for _, dc := range h.honest() {
			eventually(t, timeout, dc.Name+" has "+address, func(ctx context.Context) error {
				return h.usesNot(ctx, dc, address)
			})
			_, err := h.port.Client().FindCopies(within(t, timeout), h.ids[dc], &controlpb.FindCopiesRequest{Challenge: []byte("challenge"), Process: []byte("process")})
			require.NoError(t, err)
		}
	}
	require.NotZero(t, accepted, "the catalog refused all addresses")
	for i, dc := range h.honest() {
		assert.Zero(t, canaries[i].Load(), "packets of %s to its own addresses", dc.Name)
	}
}

// ownRecord returns what the first gateway has of that of the program.
func (h *hostile) ownRecord(t *testing.T) catalog.Gateway {
	t.Helper()
	snapshot, err := h.honest()[0].Status(t.Context())
	require.NoError(t, err)
	for _, dc := range snapshot.Datacenters {
		for _, g := range dc.Gateways {
			if g.ID == string(h.id) {
				return catalog.Gateway{
					Datacenter: h.id.Datacenter(), Name: h.id.Name(), Index: g.Index, Overlay: netip.MustParseAddr(g.Overlay),
					Version: g.Version, FeatureLevel: catalog.Level,
				}
			}
		}
	}
	require.Fail(t, "it is not listed")
	return catalog.Gateway{}
}

// usesNot returns an error until dc has an address of the program, and unless it uses
// another one or none.
func (h *hostile) usesNot(ctx context.Context, dc *harness.Datacenter, address string) error {
	snapshot, err := dc.Status(ctx)
	if err != nil {
		return err
	}
	for _, other := range snapshot.Datacenters {
		for _, g := range other.Gateways {
			if g.ID != string(h.id) {
				continue
			}
			if !slices.Contains(g.Controls, address) {
				return fmt.Errorf("it has %s", g.Controls)
			}
			if g.Endpoint == address {
				return errors.New("it sends to it")
			}
			return nil
		}
	}
	return errors.New("the gateway is not listed")
}

func exportOf(dc *harness.Datacenter, created time.Time) catalog.Export {
	return catalog.Export{
		ExportKey: catalog.ExportKey{Datacenter: catalog.DatacenterName(dc.Name), Namespace: "shop", Name: "cart"},
		Type:      catalog.ClusterSetIP, Ports: []catalog.ExportPort{{Name: "http", Protocol: "tcp", Number: 80}},
		SessionAffinity: catalog.NoSessionAffinity, Affinity: catalog.AffinityNone, CreatedAt: created,
	}
}

// createdAt returns when the exports of one name were created, by their datacenter, as a
// program on the first gateway reads it.
func (h *hostile) createdAt(t *testing.T, namespace, name string) map[string]time.Time {
	t.Helper()
	out, err := h.honest()[0].Gateway.Exec(within(t, timeout), "curl", "-sS", "--fail-with-body", "--unix-socket", "/run/meshway/meshd.sock",
		"--json", fmt.Sprintf(`{"namespace":%q,"name":%q}`, namespace, name), "http://meshd/meshway.catalog.v1.Catalog/List")
	require.NoError(t, err, out)
	var list struct {
		Items []struct {
			Export struct {
				Export struct {
					Datacenter string    `json:"datacenter"`
					CreatedAt  time.Time `json:"createdAt"`
				} `json:"export"`
			} `json:"export"`
		} `json:"items"`
	}
	require.NoError(t, json.Unmarshal([]byte(out), &list), out)
	created := map[string]time.Time{}
	for _, item := range list.Items {
		created[item.Export.Export.Datacenter] = item.Export.Export.CreatedAt
	}
	return created
}
