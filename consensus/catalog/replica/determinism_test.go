package replica_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/replica"
)

func TestSameLogProducesSameSnapshots(t *testing.T) {
	for seed := range uint64(3) {
		log := newGenerator(t, rand.New(rand.NewPCG(seed, 1)))
		a, b := log.state, replica.New()
		applied := 0
		for i := range 500 {
			entry, ra := log.entry()
			rb, err := b.Apply(log.index, entry)
			require.NoError(t, err)
			require.Equal(t, ra, rb)
			for _, r := range ra {
				if r.Refusal == nil {
					applied++
				}
			}
			if i%100 == 0 { // a restored member must continue with the same state
				require.NoError(t, b.Restore(bytes.NewReader(encode(t, b.View()))))
			}
			if i%10 == 0 {
				checkInvariants(t, a.View())
				checkExportInvariants(t, a.View())
			}
			if i%25 == 0 { // rarely, because encoding takes most of the time of this test
				require.Equal(t, encode(t, a.View()), encode(t, b.View()))
			}
		}
		assert.Equal(t, encode(t, a.View()), encode(t, b.View()))
		assert.Greater(t, applied, 500, "seed %d: the log applies too few commands", seed)
	}
}

// checkInvariants checks the invariants of members and services.
func checkInvariants(t *testing.T, v *replica.View) {
	t.Helper()
	f, initialized := v.Federation()
	require.Equal(t, initialized, len(v.Datacenters()) > 0)
	ordinals, keys, overlays := map[uint32]bool{}, map[catalog.Key]bool{}, map[netip.Addr]bool{}
	count := map[catalog.DatacenterName]int{}
	for _, g := range v.Gateways() {
		require.False(t, keys[g.PublicKey] || overlays[g.Overlay])
		require.True(t, f.Overlay.Contains(g.Overlay))
		keys[g.PublicKey], overlays[g.Overlay] = true, true
		count[g.Datacenter]++
	}
	all := v.Datacenters()
	for i, d := range all {
		require.False(t, ordinals[d.Ordinal] || d.Ordinal >= f.NextOrdinal)
		ordinals[d.Ordinal] = true
		require.Positive(t, count[d.Name])
		for _, o := range all[:i] {
			require.False(t, overlap(d, o), "%s and %s", d.Name, o.Name)
		}
	}
	for _, s := range v.Services(replica.ServiceFilter{}) {
		d, ok := v.Datacenter(s.Datacenter)
		require.True(t, ok && d.Contains(s.Address))
		_, ok = v.Gateway(s.Owner)
		require.True(t, ok)
	}
}

// checkExportInvariants checks that every slice belongs to an export and has only
// addresses of its datacenter.
func checkExportInvariants(t *testing.T, v *replica.View) {
	t.Helper()
	exports := map[catalog.ExportKey]bool{}
	for _, e := range v.Exports(replica.ExportFilter{}) {
		_, ok := v.Datacenter(e.Datacenter)
		require.True(t, ok)
		exports[e.ExportKey] = true
	}
	for _, s := range v.EndpointSlices(replica.ExportFilter{}) {
		require.True(t, exports[s.ExportKey])
		d, _ := v.Datacenter(s.Datacenter)
		for _, e := range s.Endpoints {
			require.True(t, d.Contains(e.Address))
		}
	}
}

func overlap(a, b catalog.Datacenter) bool {
	for _, p := range a.Prefixes {
		for _, q := range b.Prefixes {
			if p.CIDR.Overlaps(q.CIDR) {
				return true
			}
		}
	}
	return false
}

// Labels are a map on the wire, whose entries can have any order, and the iteration
// order of Go maps is random.
func TestOrderOfLabelsDoesNotAffectSnapshots(t *testing.T) {
	service := func(order []int) []byte {
		var labels []byte
		for _, i := range order {
			var pair []byte
			pair = protowire.AppendTag(pair, 1, protowire.BytesType)
			pair = protowire.AppendString(pair, fmt.Sprint("label", i))
			pair = protowire.AppendTag(pair, 2, protowire.BytesType)
			pair = protowire.AppendString(pair, fmt.Sprint("value", i))
			labels = protowire.AppendTag(labels, 8, protowire.BytesType)
			labels = protowire.AppendBytes(labels, pair)
		}
		return labels
	}
	s := testService("west", "web", "a", "10.2.0.1")
	s.Labels = nil
	var want []byte
	for range 20 {
		m := federationOfThree(t)
		entry, err := catalog.Marshal(m.sign(westGateway, catalog.NewPutServices([]catalog.Service{s})))
		require.NoError(t, err)
		entry = withLabels(t, entry, service(rand.Perm(50)))
		m.index++
		results, err := m.state.Apply(m.index, entry)
		require.NoError(t, err)
		require.Nil(t, results[0].Refusal)
		require.Len(t, m.state.View().Services(replica.ServiceFilter{})[0].Labels, 50)
		got := encode(t, m.state.View())
		if want == nil {
			want = got
		}
		require.Equal(t, want, got)
	}
}

// withLabels appends raw fields to the only service of the only command of entry.
func withLabels(t *testing.T, entry, labels []byte) []byte {
	t.Helper()
	const commands, putServices, services = 1, 24, 1
	return appendAtPath(t, entry, []protowire.Number{commands, putServices, services}, labels)
}

// appendAtPath appends raw to the message at the path of fields.
func appendAtPath(t *testing.T, message []byte, path []protowire.Number, raw []byte) []byte {
	t.Helper()
	if len(path) == 0 {
		return append(bytes.Clone(message), raw...)
	}
	var out []byte
	for len(message) > 0 {
		number, kind, n := protowire.ConsumeTag(message)
		require.Positive(t, n)
		length := protowire.ConsumeFieldValue(number, kind, message[n:])
		require.GreaterOrEqual(t, length, 0)
		value := message[n : n+length]
		out = append(out, message[:n]...)
		if number == path[0] && kind == protowire.BytesType {
			content, _ := protowire.ConsumeBytes(value)
			value = protowire.AppendBytes(nil, appendAtPath(t, content, path[1:], raw))
		}
		out = append(out, value...)
		message = message[n+length:]
	}
	return out
}
