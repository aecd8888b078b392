//go:build linux && root

package netns_test

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/catalogpb"
)

// recordAttacks are what a member tries with the content and the number of its own records
// and requests.
var recordAttacks = []struct {
	name string
	run  func(t *testing.T, h *hostile)
}{
	{"it sends 64 requests of half a MiB to each of the others at a time", func(t *testing.T, h *hostile) {
		h.pauseAgent(t)
		payload := strings.Repeat("x", 3<<10)
		var batch []*catalogpb.Command
		for i := range 60 {
			batch = append(batch, h.putService(fmt.Sprint("large-", i), map[string]string{"x": payload}), h.putService(fmt.Sprint("large-", i), map[string]string{"y": payload}))
		}
		h.flood(t, 8, 8, batch)
	}},
	{"it sends 64 requests of 4,000 small commands to each of the others at a time", func(t *testing.T, h *hostile) {
		var batch []*catalogpb.Command
		for range 4000 {
			batch = append(batch, catalog.NewDeleteServices([]catalog.ServiceKey{{}, {}, {}, {}, {}, {}, {}, {}}))
		}
		h.flood(t, 8, 8, batch)
	}},
	{"it writes control characters into all texts of its records", func(t *testing.T, h *hostile) {
		h.pauseAgent(t)
		hostileText := "\x1b]0;title\x07\x1b[2J\u009b2J\r\u202e\nforged: true"
		for i, s := range []catalog.Service{{ServiceKey: catalog.ServiceKey{Name: "text", Namespace: hostileText, Instance: "a"}}, {ServiceKey: catalog.ServiceKey{Name: hostileText, Namespace: "default", Instance: "a"}}, {ServiceKey: catalog.ServiceKey{Name: "text", Namespace: "default", Instance: hostileText}}} {
			s.Datacenter, s.Owner, s.Address, s.Ports = h.id.Datacenter(), h.id, h.dc.Workloads[0].Service, []catalog.Port{{Protocol: "tcp", Number: uint16(80 + i)}}
			h.requireRefused(t, catalog.NewPutServices([]catalog.Service{s}))
		}
		h.requireRefused(t, catalog.NewUpdateGateway(catalog.Gateway{Datacenter: h.id.Datacenter(), Name: h.id.Name(), PublicKey: catalog.Key{66}, Version: hostileText}))
		h.requireAccepted(t, h.putService("text", map[string]string{hostileText: hostileText}))
		for _, dc := range h.honest() {
			for _, args := range [][]string{{"services"}, {"services", "-o", "yaml"}, {"services", "-o", "json"}, {"members", "-o", "yaml"}, {"status", "-o", "yaml"}, {"events", "-o", "yaml"}} {
				out, _, err := dc.MeshctlSplit(t.Context(), args...)
				require.NotEmpty(t, out, "meshctl %v: %v", args, err) // status reports problems by its exit code
				assert.NotContains(t, strings.Split(out, "\n"), "forged: true", args)
				i := strings.IndexFunc(out, func(r rune) bool { return r != '\n' && !unicode.IsPrint(r) })
				require.Negative(t, i, "meshctl %v printed %q", args, out[max(i, 0):min(max(i, 0)+20, len(out))])
			}
		}
	}},
	{"it enrols gateways with ever-new names that are refused", func(t *testing.T, h *hostile) {
		for i := range 100 {
			name := fmt.Sprint("ghost-", i)
			refusal, ok := errors.AsType[*catalog.Refusal](h.enrol(t, h.honest()[i%3], name, catalog.Key{66}, "no-port"))
			require.True(t, ok)
			require.NotEmpty(t, refusal.Code)
		}
		for _, dc := range h.honest() {
			series := 0
			for line := range strings.Lines(metricsOf(t, dc)) {
				if strings.HasPrefix(line, "meshway_catalog_refused_commands_total{") && strings.Contains(line, h.dc.Name) {
					series++
				}
			}
			assert.LessOrEqual(t, series, 65, "on %s", dc.Name)
		}
	}},
	{"it advertises addresses of the hosts of the others, of their links and of groups", func(t *testing.T, h *hostile) {
		h.advertiseLocalAddresses(t)
	}},
	{"it requests the removal of others with two gateways", func(t *testing.T, h *hostile) {
		member := h.id
		sibling := catalog.NewGatewayID(member.Datacenter(), "sibling")
		require.NoError(t, h.enrol(t, h.honest()[0], sibling.Name(), catalog.Key{67}, h.dc.Underlay.Addr().String()+":51820"))
		for range 3 {
			for _, id := range []catalog.GatewayID{member, sibling} {
				h.as(t, id)
				for _, dc := range h.honest() {
					name := catalog.DatacenterName(dc.Name)
					h.requireRefused(t, catalog.NewRemoveDatacenter(name, true), catalog.NewRemoveDatacenter(name, false), catalog.NewRequestRemoval(name))
				}
			}
		}
		h.as(t, member)
		h.requireAccepted(t, catalog.NewRemoveGateway(sibling))
		h.as(t, sibling)
		h.requireNoMember(t)
		h.as(t, member)
	}},
	{"it admits a datacenter of its own, which agrees with it on everything", func(t *testing.T, h *hostile) {
		ghost := h.invite(t, "hostile-0")
		defer func() { ghost.requireAccepted(t, catalog.NewLeave("ghost")) }()
		foreign := netip.MustParsePrefix("11.0.0.0/8")
		ghost.requireAccepted(t, catalog.NewAllowPrefixes([]netip.Prefix{foreign}))
		h.requireRefused(t, catalog.NewUpdateDatacenter(h.datacenter(foreign)))
		for _, dc := range h.honest() {
			for _, by := range []*hostile{h, ghost, h} {
				by.requireRefused(t, catalog.NewRemoveDatacenter(catalog.DatacenterName(dc.Name), true))
			}
		}
	}},
	{"it writes, reads and requests as a gateway that the catalog does not contain", func(t *testing.T, h *hostile) {
		member := h.id
		h.as(t, catalog.NewGatewayID(member.Datacenter(), "stranger"))
		h.requireNoMember(t)
		h.as(t, member)
	}},
	{"it makes others witnesses, and itself one that has prefixes", func(t *testing.T, h *hostile) {
		for _, dc := range h.topology.Datacenters {
			id := h.ids[dc]
			h.requireRefused(t, catalog.NewUpdateGateway(catalog.Gateway{
				Datacenter: id.Datacenter(), Name: id.Name(), PublicKey: catalog.Key{66}, Version: "devel", Witness: true, FeatureLevel: catalog.Level,
				Endpoints: []string{"203.0.113.66:51820"}, Controls: []string{"203.0.113.66:7443"},
			}))
		}
	}},
	{"it exports services that are older than those of the others", func(t *testing.T, h *hostile) {
		first := h.honest()[0]
		victim := h.with(t, first)
		victim.requireAccepted(t, catalog.NewPutExports([]catalog.Export{exportOf(first, time.Now())}))
		h.requireAccepted(t, catalog.NewPutExports([]catalog.Export{exportOf(h.dc, time.Unix(0, 0))}))
		created := h.createdAt(t, "shop", "cart")
		require.Len(t, created, 2)
		assert.True(t, created[h.dc.Name].After(created[first.Name]), "%v", created)
		h.requireAccepted(t, catalog.NewDeleteExports([]catalog.ExportKey{exportOf(h.dc, time.Now()).ExportKey}))
		victim.requireAccepted(t, catalog.NewDeleteExports([]catalog.ExportKey{exportOf(first, time.Now()).ExportKey}))
	}},
}
