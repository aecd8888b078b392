package catalog_test

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/consensus/catalog"
)

func TestPrefixOfAllAddressesIsRefused(t *testing.T) {
	for _, all := range []string{"0.0.0.0/0", "::/0"} {
		require.ErrorContains(t, catalog.ValidatePrefixes(prefixes(catalog.PodPrefix, all)), "contains every address")
	}
}

func TestPrefixesOfOneDatacenterMayNestButNotRepeat(t *testing.T) {
	require.NoError(t, catalog.ValidatePrefixes(nil))
	require.NoError(t, catalog.ValidatePrefixes(append(
		prefixes(catalog.NodePrefix, "192.168.0.0/16", "192.168.1.5/32", "240.1.0.0/16", "fd00::/64"),
		prefixes(catalog.PodPrefix, "10.0.0.0/8", "10.1.0.0/16")...)))
	for _, list := range [][]catalog.Prefix{
		append(prefixes(catalog.PodPrefix, "10.0.0.0/8"), prefixes(catalog.NodePrefix, "10.0.0.0/8")...),
		{{CIDR: netip.MustParsePrefix("10.0.0.0/8")}},
		{{Kind: catalog.PodPrefix}},
		prefixes(catalog.PodPrefix, "224.0.0.0/8"),
		prefixes(catalog.PodPrefix, "ff00::/16"),
		prefixes(catalog.PodPrefix, "::/1"),
		prefixes(catalog.PodPrefix, "8000::/1"),
	} {
		r, ok := errors.AsType[*catalog.Refusal](catalog.ValidatePrefixes(list))
		require.True(t, ok, "%v", list)
		assert.True(t, strings.HasPrefix(r.Field, "prefixes["), r.Field)
		assert.NotEmpty(t, r.Remedy)
	}
}

func TestTheRemedyForAForeignAddressNamesOnlyWhatTheDatacenterHas(t *testing.T) {
	foreign := netip.MustParseAddr("192.0.2.1")
	site := catalog.Datacenter{Name: "west", Prefixes: prefixes(catalog.PodPrefix, "10.2.0.0/16")}
	assert.Equal(t, "use an address of 10.2.0.0/16, or announce its prefix", site.CheckAddress(foreign).Remedy)
	witness := catalog.Datacenter{Name: "witness"}
	assert.Contains(t, witness.CheckAddress(foreign).Remedy, "announces no prefixes")
	assert.Contains(t, witness.CheckAddress(foreign).Remedy, "in another datacenter")
}

func prefixes(kind catalog.PrefixKind, cidrs ...string) []catalog.Prefix {
	var list []catalog.Prefix
	for _, c := range cidrs {
		list = append(list, catalog.Prefix{CIDR: netip.MustParsePrefix(c), Kind: kind})
	}
	return list
}
