package plan_test

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/meshway/meshway/agent/config"
	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/agent/plan/gatewayplan"
	"github.com/meshway/meshway/consensus/catalog"
)

func TestConfiguredAddressesAreAdvertisedOrElseThoseOfTheUnderlay(t *testing.T) {
	prefixes := []catalog.Prefix{
		{CIDR: netip.MustParsePrefix("10.1.0.0/16"), Kind: catalog.PodPrefix},
		{CIDR: netip.MustParsePrefix("192.0.2.0/24"), Kind: catalog.NodePrefix},
	}
	host := plan.Host{Addresses: []netip.Addr{
		netip.MustParseAddr("10.1.0.1"), netip.MustParseAddr("192.0.2.7"), netip.MustParseAddr("2001:db8::7"),
	}}
	for name, test := range map[string]struct {
		cfg                 config.Config
		known               []netip.Addr
		endpoints, controls []string
	}{
		"the underlay with node addresses, without pod addresses": {
			cfg:       config.Config{Prefixes: prefixes},
			endpoints: []string{"192.0.2.7:51820", "[2001:db8::7]:51820"},
			controls:  []string{"192.0.2.7:7443", "[2001:db8::7]:7443"},
		},
		"addresses that the cluster has come first, even if the host does not have them": {
			cfg:       config.Config{Prefixes: prefixes},
			known:     []netip.Addr{netip.MustParseAddr("198.51.100.7"), netip.MustParseAddr("2001:db8::7")},
			endpoints: []string{"198.51.100.7:51820", "[2001:db8::7]:51820", "192.0.2.7:51820"},
			controls:  []string{"198.51.100.7:7443", "[2001:db8::7]:7443", "192.0.2.7:7443"},
		},
		"the configured addresses": {
			known: []netip.Addr{netip.MustParseAddr("198.51.100.7")},
			cfg: config.Config{
				Prefixes: prefixes, WireGuard: config.WireGuard{Advertise: []string{"gw.example:1"}},
				Control: config.Control{Advertise: []string{"gw.example:2"}},
			},
			endpoints: []string{"gw.example:1"}, controls: []string{"gw.example:2"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			test.cfg.WireGuard.Port, test.cfg.Control.Listen = 51820, netip.MustParseAddrPort("[::]:7443")
			endpoints, controls := plan.Advertisement(test.cfg, plan.Site{Prefixes: test.cfg.Prefixes, Addresses: test.known}, host)
			assert.Equal(t, test.endpoints, endpoints)
			assert.Equal(t, test.controls, controls)
		})
	}
}

func TestRegistrationIsKnownOnceHostAndSiteAreRead(t *testing.T) {
	in := running()
	in.Site = plan.Site{Known: true, Prefixes: []catalog.Prefix{{CIDR: netip.MustParsePrefix("10.1.0.0/16"), Kind: catalog.PodPrefix}}}
	in.PublicKey, in.Version, in.Drain = [32]byte{7}, "v2", plan.Draining
	d, _ := gatewayplan.Compute(in)
	r := d.Registration
	assert.True(t, r.Known)
	assert.Equal(t, in.Self, r.Gateway.ID())
	assert.Equal(t, catalog.Key{7}, r.Gateway.PublicKey)
	assert.Equal(t, "v2", r.Gateway.Version)
	assert.True(t, r.Gateway.Draining)
	assert.Equal(t, in.Site.Prefixes, r.Prefixes)
	for name, change := range map[string]func(*plan.Inputs){
		"the site is not known": func(in *plan.Inputs) { in.Site.Known = false },
		"the host is not read":  func(in *plan.Inputs) { in.Synced.Host = false },
		"its record is missing": func(in *plan.Inputs) { in.Self = "east/other" },
	} {
		t.Run(name, func(t *testing.T) {
			changed := in
			change(&changed)
			d, _ := gatewayplan.Compute(changed)
			assert.False(t, d.Registration.Known)
		})
	}
}
