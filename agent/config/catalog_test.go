package config_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/meshway/meshway/agent/config"
	"github.com/meshway/meshway/agent/identity"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/catalogpb"
	"github.com/meshway/meshway/consensus/catalog/replica"
)

// TestWhatTheCatalogRefusesIsRefusedByTheCheck registers what each valid configuration
// describes in a real catalog.
func TestWhatTheCatalogRefusesIsRefusedByTheCheck(t *testing.T) {
	var sources []string
	add := func(format string, values ...string) {
		for _, v := range values {
			sources = append(sources, fmt.Sprintf(format, v))
		}
	}
	long := strings.Repeat("a", 63)
	hosts := []string{
		"192.0.2.1:1", "[2001:db8::1]:51820", "gw.example.org:51820", "gw.example.org.:51820", "GW.example.org:51820",
		"[fe80::1%eth0]:51820", "[fe80::1]:51820", "0.0.0.0:1", "[::]:1", "224.0.0.1:1", "192.0.2.1:0", "192.0.2.1:65536", "192.0.2.1",
		"192.0.2:1", "1.2.3:4", "a..b:1", ":1", "gw:", "_x.y:1", "[::ffff:192.0.2.1]:1", "xn--a.b:1", "192.0.2.1:1 ", "a.0x1:1", "a.1:1",
		strings.Repeat(long+".", 3) + long[:61] + ":1", strings.Repeat(long+".", 4) + "b:1", long + "a:1",
	}
	add("datacenter: east\nwireguard: {advertise: [%q]}\n", hosts...)
	add("datacenter: east\ncontrol: {advertise: [%q]}\n", hosts...)
	for _, n := range []int{16, 17, 100} {
		var list []string
		for i := range n {
			list = append(list, fmt.Sprintf("%q", fmt.Sprintf("192.0.2.%d:51820", i+1)))
		}
		add("datacenter: east\nwireguard: {advertise: [%s]}\n", strings.Join(list, ", "))
		add("datacenter: east\ncontrol: {advertise: [%s]}\n", strings.Join(list, ", "))
	}
	names := []string{"a", long, long + "a", "A", "a.b", "-a", "a-", "ä", "a_b", "0", "a b"}
	add("datacenter: %q\n", names...)
	add("datacenter: east\ngateway: %q\n", names...)
	const prefixes = "datacenter: east\nprefixes: {pods: [10.1.0.0/16]}\n"
	add(prefixes+"services: [{name: %q, address: 10.1.0.5, ports: [{port: 80}]}]\n", names...)
	add(prefixes+"services: [{name: a, namespace: %q, address: 10.1.0.5, ports: [{port: 80}]}]\n", names...)
	add(prefixes+"services: [{name: a, instance: %q, address: 10.1.0.5, ports: [{port: 80}]}]\n", names...)
	add(prefixes+"services: [{name: a, address: %q, ports: [{port: 80}]}]\n", "10.1.0.5", "10.2.0.5", "::ffff:10.1.0.5", "fe80::1%eth0", "10.1.0.256", "")
	add(prefixes+"services: [{name: a, address: 10.1.0.5, ports: [%s]}]\n",
		"{port: 80}, {port: 81}", "{name: x, port: 80}, {port: 81}", "{name: x, port: 80}, {name: y, port: 80}",
		"{name: x, port: 80}, {name: y, port: 80, protocol: udp}", "{name: X, port: 80}", "{port: 0}", ports(64), ports(65))
	add(prefixes+"services: [{name: a, address: 10.1.0.5, ports: [{port: 80}], labels: {%s}}]\n",
		labels(64, 1), labels(65, 1), labels(4, 1000), labels(4, 1100), `"": x`)
	cidrs := []string{
		"10.1.0.0/16", "10.1.0.1/16", "0.0.0.0/0", "::/0", "0.0.0.0/1", "127.0.0.0/8", "169.254.1.0/24", "224.0.0.0/4", "240.0.0.0/4", "fe80::/64", "ff02::/16",
		"::ffff:10.1.0.0/112", "10.1.0.0/33", "x", "fd99::/16", "255.255.255.255/32", "128.0.0.0/1",
	}
	for _, kind := range []string{"pods", "services", "nodes"} {
		add("datacenter: east\nprefixes: {"+kind+": [%q]}\n", cidrs...)
	}
	add("datacenter: east\nprefixes: {pods: [10.1.0.0/16], nodes: [%s]}\n", "10.1.0.0/16", "10.1.1.0/24", "10.1.1.0/24, 10.1.1.0/24", manyPrefixes(1000), manyPrefixes(9000))

	accepted := 0
	for _, source := range sources {
		c, err := config.Parse(strings.NewReader(source), "meshd.yaml", config.Env{Hostname: "gw0"})
		if err != nil {
			continue
		}
		accepted++
		for _, result := range register(t, c) {
			assert.Nil(t, result.Refusal, "the check accepts what the catalog refuses:\n%.300s", source)
		}
	}
	assert.Greater(t, accepted, 40, "most values are not valid at all")
}

// register initializes a federation with the datacenter and gateway of a
// configuration, and registers its services.
func register(t *testing.T, c config.Config) []catalog.Result {
	t.Helper()
	now := time.Now()
	ca, err := identity.NewCA(c.Datacenter, now)
	require.NoError(t, err)
	commands := []*catalogpb.Command{catalog.NewInit(
		catalog.Federation{ID: "123e4567-e89b-12d3-a456-426614174000", Name: "demo", Overlay: netip.MustParsePrefix("fd12:3456:789a::/48")},
		catalog.Datacenter{Name: c.Datacenter, CACertificate: ca.Certificate(), Prefixes: c.Prefixes},
		catalog.Gateway{
			Datacenter: c.Datacenter, Name: c.Gateway, PublicKey: catalog.Key{1},
			Endpoints: c.WireGuard.Advertise, Controls: c.Control.Advertise,
		},
	)}
	if len(c.Services) > 0 {
		for i := range c.Services {
			c.Services[i].Datacenter = c.Datacenter
		}
		commands = append(commands, catalog.NewPutServices(c.Services))
	}
	var results []catalog.Result
	state := replica.New()
	for i, command := range commands {
		command.Author, command.At = string(c.GatewayID()), timestamppb.New(now)
		entry, err := catalog.Marshal(command)
		require.NoError(t, err)
		applied, err := state.Apply(uint64(i+1), entry)
		require.NoError(t, err)
		results = append(results, applied...)
	}
	return results
}

func ports(n int) string {
	var list []string
	for i := range n {
		list = append(list, fmt.Sprintf("{name: p%d, port: %d}", i, i+1))
	}
	return strings.Join(list, ", ")
}

func labels(n, size int) string {
	var list []string
	for i := range n {
		list = append(list, fmt.Sprintf("l%d: %s", i, strings.Repeat("x", size)))
	}
	return strings.Join(list, ", ")
}

func manyPrefixes(n int) string {
	var list []string
	for i := range n {
		list = append(list, fmt.Sprintf("100.%d.%d.0/24", 64+i/256, i%256))
	}
	return strings.Join(list, ", ")
}
