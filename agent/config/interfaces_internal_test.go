package config

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestNamesOfOtherInterfacesAreNoPrefix(t *testing.T) {
	for _, name := range []string{
		"em", "end", "enc", "env", "enx", "wlx", "wld", "wwp", "ibp", "podman", "cni-podman", "lan", "wan", "venet", "ipsec", "swp", "mgmt",
		"antrea-gw", "incusbr", "vboxnet", "zt", "utun", "geneve", "macsec", "bnep", "wpan", "ovpn", "eth", "wg", "kube-ipvs",
	} {
		_, err := Parse(strings.NewReader("datacenter: east\nwireguard: {interface: "+name+"}\n"), "f", Env{Hostname: "gw"})
		assert.ErrorContains(t, err, "is also the prefix of other interfaces", name)
	}
	for _, name := range []string{"mesh", "a", "meshway", "awl", "wan-x", "mesh-lan", "enxa", "east"} {
		_, err := Parse(strings.NewReader("datacenter: east\nwireguard: {interface: "+name+"}\n"), "f", Env{Hostname: "gw"})
		assert.NoError(t, err, name)
	}
}

func TestChartHasTheNamesOfOtherInterfaces(t *testing.T) {
	text, err := os.ReadFile("../../deploy/chart/meshway/templates/_validateconfig.tpl")
	require.NoError(t, err)
	list := regexp.MustCompile(`\$common := list ([^}]*) }}`).FindStringSubmatch(string(text))
	require.NotNil(t, list)
	assert.Equal(t, `"`+strings.Join(commonInterfaces(), `" "`)+`"`, list[1])
	assert.Contains(t, string(text), `regexMatch "`+systemdInterfaces+`" $device`)
}
