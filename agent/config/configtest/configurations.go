package configtest

import (
	"fmt"
	"slices"
	"strings"
)

// Configurations returns configurations with values around the limits of their keys, valid
// and invalid ones.
func Configurations() []string {
	return slices.Concat(endpoints(), namesAndServices(), ranges(), numbers())
}

// each returns the format with each of the values.
func each(format string, values ...string) []string {
	var out []string
	for _, v := range values {
		out = append(out, fmt.Sprintf(format, v))
	}
	return out
}

func longName() string { return strings.Repeat("a", 63) }

func endpoints() []string {
	var sources []string
	add := func(format string, values ...string) { sources = append(sources, each(format, values...)...) }
	long := longName()
	hosts := []string{
		"192.0.2.1:1", "[2001:db8::1]:51820", "gw.example.org:51820", "gw.example.org.:51820", "GW.example.org:51820",
		"[fe80::1%eth0]:51820", "[fe80::1]:51820", "0.0.0.0:1", "[::]:1", "224.0.0.1:1", "192.0.2.1:0", "192.0.2.1:65536", "192.0.2.1",
		"127.0.0.1:1", "169.254.0.1:1", "0.1.2.3:1", "255.255.255.255:1", "240.0.0.1:1", "[::1]:1", "[::2]:1", "[ff02::1]:1", "[::ffff:127.0.0.1]:1",
		"[::ffff:0.0.0.0]:1", "[2001:db8::1%eth0]:1", "localhost:1", "LOCALHOST.:1", "gw.localhost:1", "localhost.localdomain:1", "localhost.example.org:1",
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
	return sources
}

func namesAndServices() []string {
	var sources []string
	add := func(format string, values ...string) { sources = append(sources, each(format, values...)...) }
	long := longName()
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
	return sources
}

func ranges() []string {
	var sources []string
	add := func(format string, values ...string) { sources = append(sources, each(format, values...)...) }
	cidrs := []string{
		"10.1.0.0/16", "10.1.0.1/16", "0.0.0.0/0", "::/0", "0.0.0.0/1", "127.0.0.0/8", "169.254.1.0/24", "224.0.0.0/4", "240.0.0.0/4", "fe80::/64", "ff02::/16",
		"::ffff:10.1.0.0/112", "10.1.0.0/33", "x", "fd99::/16", "255.255.255.255/32", "128.0.0.0/1",
		"10.0.0.0/7", "10.0.0.0/8", "64.0.0.0/4", "2000::/3", "fd00::/8", "2600::/12", "fd00::/15", "fd00::/16",
	}
	for _, kind := range []string{"pods", "services", "nodes"} {
		add("datacenter: east\nprefixes: {"+kind+": [%q]}\n", cidrs...)
	}
	add("datacenter: east\nprefixes: {pods: [10.1.0.0/16], nodes: [%s]}\n", "10.1.0.0/16", "10.1.1.0/24", "10.1.1.0/24, 10.1.1.0/24", manyPrefixes(1000), manyPrefixes(9000))
	for _, key := range []string{"podCIDRs", "serviceCIDRs"} {
		add("datacenter: east\nkubernetes: {enabled: true, "+key+": [%q]}\n", cidrs...)
		add("datacenter: east\nkubernetes: {enabled: true, "+key+": [%s]}\n", "10.1.0.0/16, 10.2.0.0/16", "10.1.0.0/16, 10.1.4.0/24", "'fd00:1::/48', 'fd00::/16'", "'fd00:1:2:3:4:5:6:7/128', '::ffff:1.2.3.4/128'")
	}
	add("datacenter: east\nrouting: {yield: [%q]}\n", cidrs...)
	add("datacenter: east\nrouting: {accept: {%s}}\n", "west: [10.1.0.0/16]", "east: [10.1.0.0/16]", "We: [10.1.0.0/16]", "west: [10.1.0.1/16]", "west: []")
	return sources
}

// numbers returns configurations with numbers, durations, ports and labels.
func numbers() []string {
	var sources []string
	add := func(format string, values ...string) {
		sources = append(sources, each("datacenter: east\n"+format+"\n", values...)...)
	}
	add("wireguard: {port: %s}", "0", "1", "3720", "3721", "3784", "3785", "65472", "65473")
	add("wireguard: {mtu: %s}", "0", "1279", "1280", "65455", "65456")
	add("wireguard: {keepalive: %s}", "0s", "1s", "1m30s", "1500ms", "1.5s", "0.5m", "65535s", "65536s", "18h12m15s", "25", "x")
	add("wireguard: {interface: %s}", "mesh", "a", "abcdefghijkl", "abcdefghijklm", "-a", "a-b", "mesh1", "wg", "eth", "veth", "Mesh",
		"em", "end", "wan", "lan", "podman", "cni-podman", "venet", "ipsec", "mesh-wan", "awl", "mgmt")
	add("routing: {table: %s}", "0", "1", "251", "252", "255", "256", "2147483646", "2147483647")
	add("routing: {rulePriority: %s}", "1", "2", "32765", "32766")
	add("routing: {mark: %s}", "0", "1", "4294967295", "4294967296")
	add("liveness: {interval: %s}", "49ms", "50ms", "50000us", "10s", "10001ms", "0.05s", "1m")
	add("liveness: {multiplier: %s}", "1", "2", "50", "51")
	add("liveness: {port: %s}", "0", "1", "65535", "65536", "51819", "51820", "51883", "51884")
	add("raft: {snapshotThreshold: %s}", "63", "64", "16777216", "16777217")
	add("control: {listen: %q}", ":7443", "[::]:7443", "192.0.2.1:7443", "192.0.2.1:0", "[::1]:65536", "192.0.2.300:1", "[fe80::1%eth0]:7443", "::1:7443", "7443", "x:1", ":9443", "127.0.0.1:9443", "[::ffff:127.0.0.1]:9443", "192.0.2.1:9443", "0.0.0.0:9443", "[::1]:9443")
	add("metrics: {listen: %q}", "127.0.0.1:7443", "127.0.0.1:9444", "[::1]:9443", "192.0.2.300:9443", "[::1::2]:9443", "0.0.0.0:9443", "[1:2:3:4:5:6:7:8]:1", "[1:2:3:4:5:6:7::]:1", "[1:2:3:4:5:6:7:8::]:1", "[:::1]:1", "[12345::]:1")
	add("catalog: {tokens: /t, listen: %q}", "127.0.0.1:8443", "127.0.0.1:9443", "127.0.0.1:7443", "127.0.0.1:0")
	add("kubernetes: {enabled: true, gatewayLabel: %q}", "a=b", "a=", "example.com/gw=yes", "/a=b", "a=-b", "-a=b", "Example.com/a=b", "a/b/c=d", "a", longName()+"=b", longName()+"a=b")
	return sources
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
