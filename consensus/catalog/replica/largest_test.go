package replica_test

import (
	"bytes"
	"fmt"
	"net/netip"
	"sort"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/catalogpb"
	"github.com/meshway/meshway/consensus/catalog/replica"
)

// requireKept requires that a snapshot keeps the whole state of m.
func requireKept(t *testing.T, m *members) {
	t.Helper()
	snapshot := encode(t, m.state.View())
	restored, err := replica.Decode(bytes.NewReader(snapshot))
	require.NoError(t, err)
	assert.Equal(t, contents(m.state.View()), contents(restored.View()))
	assert.Equal(t, snapshot, encode(t, restored.View()))
}

// largestPrefixes returns prefixes that almost fill a command.
func largestPrefixes(second int) []catalog.Prefix {
	var list []catalog.Prefix
	a := netip.AddrFrom4([4]byte{100, byte(second), 100, 100})
	for range 2764 {
		a = a.Next()
		list = append(list, catalog.Prefix{CIDR: netip.PrefixFrom(a, 32), Kind: catalog.NodePrefix})
	}
	return list
}

func TestResultsThatAClientNeverAcknowledgesDoNotSpoilSnapshots(t *testing.T) {
	m := federationOfThree(t)
	m.token("t", "")
	request := joinRequest(t, "t", "south")
	request.Datacenter.CACertificate = certificateWithKey(t, "south", strings.Repeat("south", 40), true)
	m.must(eastGateway, catalog.NewJoin(request))
	const south = catalog.GatewayID("south/gw0")
	dc := catalog.Datacenter{Name: "south"}
	var first catalog.Result
	// MaxOutstanding results with their records would exceed 64 MiB.
	for i := range catalog.MaxOutstanding / 32 {
		dc.Prefixes = largestPrefixes(100 + i%2)
		r := m.entry(m.numbered(south, uint64(i+1), 0, catalog.NewUpdateDatacenter(dc)))[0]
		require.Nil(t, r.Refusal)
		if i == 0 {
			first = r
		}
	}
	requireKept(t, m)
	again := m.entry(m.numbered(south, 1, 0, catalog.NewUpdateDatacenter(dc)))[0]
	assert.Equal(t, first.Index, again.Index, "a retry returns the index of the first attempt")
	size := len(encode(t, m.state.View()))
	assert.Less(t, size, 128<<10, "results are stored without the records")
}

func TestSnapshotWithTheStoredResultsOfEarlierBuildsIsReadable(t *testing.T) {
	m := federationOfThree(t)
	want := m.version(westGateway, 1, 0, "v1")
	earlier := func(records []*catalogpb.Record) []*catalogpb.Record {
		for _, r := range records {
			for _, result := range r.GetClient().GetResults() {
				whole, err := proto.Marshal(want.Proto())
				require.NoError(t, err)
				require.NoError(t, proto.Unmarshal(whole, result))
				require.NotEmpty(t, result.ProtoReflect().GetUnknown(), "the gateway")
			}
		}
		return records
	}
	require.NoError(t, m.state.Restore(bytes.NewReader(reencode(t, encode(t, m.state.View()), earlier))))
	assert.Equal(t, want, m.version(westGateway, 1, 0, "v1"))
}

// TestLargestRecordsAreKeptBySnapshots applies the largest command of each kind
// that Apply accepts.
func TestLargestRecordsAreKeptBySnapshots(t *testing.T) {
	// fit returns the command of the largest n that does not exceed MaxCommandSize.
	fit := func(m *members, author catalog.GatewayID, most int, command func(n int) *catalogpb.Command) *catalogpb.Command {
		signed := func(n int) *catalogpb.Command { return m.sign(author, command(n)) }
		n := sort.Search(most, func(i int) bool { return proto.Size(signed(i+1)) > catalog.MaxCommandSize })
		require.Positive(t, n)
		return signed(n)
	}
	label := strings.Repeat("n", 63)
	labels := map[string]string{}
	for i := range 64 {
		labels[fmt.Sprintf("%02d", i)+strings.Repeat("\u00e9", 15)] = strings.Repeat("\u4e16", 10) + "\x00\n"
	}
	endpoints := func(n int) (list []string) {
		for range n {
			list = append(list, strings.Repeat(label+".", 3)+strings.Repeat("n", 61)+":51820")
		}
		return list
	}
	ports := func(n int) (list []catalog.ExportPort) {
		for i := range n {
			list = append(list, catalog.ExportPort{
				Name: fmt.Sprintf("%063d", i), Protocol: "sctp", Number: uint16(65000 + i), AppProtocol: strings.Repeat("\u00e9", 158),
			})
		}
		return list
	}
	export := func(n int) catalog.Export {
		e := testExport("west", label)
		e.Namespace, e.Labels, e.Annotations, e.Ports = label, labels, labels, ports(n)
		e.TrafficDistribution, e.IPFamilies = strings.Repeat("\x01", 63), []catalog.IPFamily{catalog.IPv4, catalog.IPv6}
		return e
	}
	m := federationOfThree(t)
	for name, command := range map[string]func() *catalogpb.Command{
		"gateway": func() *catalogpb.Command {
			return fit(m, westGateway, 16, func(n int) *catalogpb.Command {
				g := testGateway("west", label)
				g.Endpoints, g.Controls, g.Version = endpoints(n), endpoints(n), strings.Repeat("~", 64)
				return catalog.NewAddGateway(g)
			})
		},
		"datacenter": func() *catalogpb.Command {
			return fit(m, northGateway, 3000, func(n int) *catalogpb.Command {
				dc := testDatacenter(t, "north")
				a := netip.MustParseAddr("fd00:1234:5678:9abc:def0:1234:5678:0")
				for range n {
					a = a.Next()
					dc.Prefixes = append(dc.Prefixes, catalog.Prefix{CIDR: netip.PrefixFrom(a, 128), Kind: catalog.NodePrefix})
				}
				return catalog.NewUpdateDatacenter(dc)
			})
		},
		"service": func() *catalogpb.Command {
			return fit(m, westGateway, 64, func(n int) *catalogpb.Command {
				s := testService("west", label, strings.Repeat("i", 253), "10.2.0.1")
				s.Namespace, s.Labels = label, labels
				s.Ports = nil
				for i := range n {
					s.Ports = append(s.Ports, catalog.Port{Name: fmt.Sprintf("%063d", i), Protocol: "tcp", Number: uint16(65000 + i)})
				}
				return catalog.NewPutServices([]catalog.Service{s})
			})
		},
		"export": func() *catalogpb.Command {
			return fit(m, westGateway, 64, func(n int) *catalogpb.Command { return catalog.NewPutExports([]catalog.Export{export(n)}) })
		},
	} {
		t.Run(name, func(t *testing.T) {
			result := m.entry(command())[0]
			require.Nil(t, result.Refusal)
			requireKept(t, m)
		})
	}
	t.Run("endpoint slice", func(t *testing.T) {
		require.Nil(t, m.entry(m.sign(westGateway, catalog.NewPutExports([]catalog.Export{testExport("west", "web")})))[0].Refusal)
		cmd := fit(m, westGateway, 64, func(n int) *catalogpb.Command {
			s := testSlice("west", "web", strings.Repeat("s", 253))
			s.Ports = ports(n)
			for i := range catalog.MaxSliceEndpoints {
				s.Endpoints = append(s.Endpoints, catalog.Endpoint{
					Address: netip.MustParseAddr(fmt.Sprintf("10.2.100.%d", i)), Ready: true, Hostname: label, Zone: strings.Repeat("\u00e9", 31),
				})
			}
			return catalog.NewPutEndpoints([]catalog.EndpointSlice{s})
		})
		require.Nil(t, m.entry(cmd)[0].Refusal)
		requireKept(t, m)
	})
	t.Run("client with refusals", func(t *testing.T) {
		hostile := strings.Repeat("\u0001\u4e16", 2000)
		for i := range uint64(catalog.MaxOutstanding) {
			cmd := m.numbered(northGateway, i+1, 0, catalog.NewRevokeToken(hostile))
			cmd.Client = strings.Repeat("c", 128)
			require.NotNil(t, m.entry(cmd)[0].Refusal)
		}
		requireKept(t, m)
	})
}
