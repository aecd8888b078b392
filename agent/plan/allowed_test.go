package plan_test

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/meshway/meshway/agent/plan/gatewayplan"
	"github.com/meshway/meshway/consensus/catalog"
)

func TestPrefixThatTheCatalogWouldRefuseTodayIsAProblem(t *testing.T) {
	in := running()
	reported := func() []string {
		var subjects []string
		_, problems := gatewayplan.Compute(in)
		for _, p := range problems {
			if p.Code == "prefix-not-allowed" {
				subjects = append(subjects, p.Subject)
			}
		}
		return subjects
	}
	public, dc := netip.MustParsePrefix("2001:db8:2::/64"), in.Catalog.Datacenters[1]
	assert.Empty(t, reported(), "a gateway of an earlier build cannot allow it")
	for i := range in.Catalog.Gateways {
		in.Catalog.Gateways[i].FeatureLevel = catalog.LevelAllowed
	}
	assert.Equal(t, []string{"datacenter " + string(dc.Name)}, reported())
	in.Catalog.Settings = catalog.Settings{Allowed: []catalog.AllowedPrefix{{CIDR: public, AllowedBy: dc.Name}}}
	assert.NotEmpty(t, reported(), "a datacenter cannot allow it for itself")
	in.Catalog.Settings.Allowed = append(in.Catalog.Settings.Allowed, catalog.AllowedPrefix{CIDR: public, AllowedBy: "other"})
	assert.Empty(t, reported())
}
