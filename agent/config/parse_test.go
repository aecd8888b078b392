package config_test

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/agent/config"
	"github.com/meshway/meshway/agent/config/configtest"
	"github.com/meshway/meshway/consensus/catalog"
)

var env = config.Env{Hostname: "GW1.east.example"}

func parse(t *testing.T, source string) (config.Config, error) {
	t.Helper()
	return config.Parse(strings.NewReader(source), "meshd.yaml", env)
}

func TestAbsentKeysHaveDefaults(t *testing.T) {
	c, err := parse(t, "datacenter: east\n")
	require.NoError(t, err)
	assert.Equal(t, config.Config{
		Datacenter: "east",
		Gateway:    "gw1",
		DataDir:    "/var/lib/meshway",
		Kubernetes: config.Kubernetes{GatewayLabel: "meshway.io/gateway=true"},
		Control:    config.Control{Listen: netip.MustParseAddrPort("[::]:7443")},
		WireGuard:  config.WireGuard{Dataplane: "auto", Interface: "mesh", Port: 51820, Keepalive: 25 * time.Second},
		Routing:    config.Routing{Table: 7117, RulePriority: 5400, Mark: 0x20, Confine: true},
		Liveness:   config.Liveness{Interval: 100 * time.Millisecond, Multiplier: 4, Port: 3784},
		Raft:       config.Raft{Timers: "auto", SnapshotThreshold: 16384, Store: "wal"},
		Local: config.Local{
			Admin:   config.Admin{Socket: "/run/meshway/meshd.sock"},
			Metrics: config.Metrics{Listen: netip.MustParseAddrPort("127.0.0.1:9443")},
			Log:     config.Log{Level: "info", Format: "text"},
		},
	}, c)
}

func TestReferenceHasTheDefaultsOfTheCode(t *testing.T) {
	got, err := parse(t, config.Reference())
	require.NoError(t, err)
	assert.Len(t, got.Prefixes, 3)
	require.Len(t, got.Services, 1)
	assert.Equal(t, catalog.Service{
		ServiceKey: catalog.ServiceKey{Namespace: "default", Name: "web", Instance: "web-1"},
		Address:    netip.MustParseAddr("10.1.0.5"),
		Ports:      []catalog.Port{{Name: "http", Protocol: "tcp", Number: 80}},
		Labels:     map[string]string{"tier": "front"},
	}, got.Services[0])

	want, err := parse(t, "datacenter: east\n")
	require.NoError(t, err)
	got.Prefixes, got.Services, got.Routing.Accept, got.Routing.Yield = nil, nil, nil, nil // examples
	assert.Equal(t, want, got)
}

func TestByteOrderMarkIsIgnored(t *testing.T) {
	c, err := parse(t, "\ufeffdatacenter: east\n")
	require.NoError(t, err)
	assert.EqualValues(t, "east", c.Datacenter)
}

func TestMinimalConfigurationIsValid(t *testing.T) {
	source, err := os.ReadFile("minimal.yaml")
	require.NoError(t, err)
	c, err := parse(t, string(source))
	require.NoError(t, err)
	assert.Equal(t, []catalog.Prefix{{CIDR: netip.MustParsePrefix("10.1.0.0/16"), Kind: catalog.PodPrefix}}, c.Prefixes)
}

func TestEveryKeySetsItsField(t *testing.T) {
	c, err := parse(t, `
datacenter: west
gateway: gw7
dataDir: /data/
witness: false
prefixes:
  nodes: [192.0.2.0/24, "2001:db8::/64"]
  pods:
    - 10.3.0.0/16
  services: [10.2.0.0/16]
kubernetes: {enabled: true, nodeName: node-1.west, kubeconfig: /etc/kube, podCIDRs: [10.5.0.0/16, 10.4.0.0/16], serviceCIDRs: ["fd00::/112"], announceNodes: true, gatewayLabel: a.b/c=d, identitySecret: common}
control: {listen: "192.0.2.1:7000", advertise: ["gw.example.org:7000", "[2001:db8::1]:7000"]}
wireguard: {dataplane: userspace, interface: wan-x, port: 4000, advertise: ["192.0.2.1:4000"], mtu: 1380, keepalive: 0s}
routing: {table: 7000, rulePriority: 100, mark: 0x40, confine: false, accept: {east: [10.7.0.0/16, 10.6.0.0/16], north: []}, yield: [10.8.0.0/16]}
liveness: {interval: 1s, multiplier: 3, port: 4784}
raft: {timers: wan, snapshotThreshold: 100, store: bolt}
join: {tokenFile: /etc/meshway/token}
services:
  - {name: db, address: 10.3.0.9, ports: [{name: sql, port: 5432}, {name: dns, protocol: udp, port: 53}]}
  - {name: db, namespace: prod, address: "2001:db8::9", instance: two, ports: [{port: 5432}], labels: {a: b, empty: }}
admin: {socket: /run/x.sock}
metrics: {listen: off}
catalog: {listen: "[::1]:8443", tokens: /etc/tokens}
log: {level: debug, format: json}
`)
	require.NoError(t, err)
	assert.Equal(t, config.Config{
		Datacenter: "west", Gateway: "gw7", DataDir: "/data",
		Prefixes: []catalog.Prefix{
			{CIDR: netip.MustParsePrefix("10.2.0.0/16"), Kind: catalog.ServicePrefix},
			{CIDR: netip.MustParsePrefix("10.3.0.0/16"), Kind: catalog.PodPrefix},
			{CIDR: netip.MustParsePrefix("192.0.2.0/24"), Kind: catalog.NodePrefix},
			{CIDR: netip.MustParsePrefix("2001:db8::/64"), Kind: catalog.NodePrefix},
		},
		Kubernetes: config.Kubernetes{
			Enabled: true, NodeName: "node-1.west", Kubeconfig: "/etc/kube",
			PodCIDRs:     []netip.Prefix{netip.MustParsePrefix("10.4.0.0/16"), netip.MustParsePrefix("10.5.0.0/16")},
			ServiceCIDRs: []netip.Prefix{netip.MustParsePrefix("fd00::/112")}, AnnounceNodes: true, GatewayLabel: "a.b/c=d", IdentitySecret: "common",
		},
		Control:   config.Control{Listen: netip.MustParseAddrPort("192.0.2.1:7000"), Advertise: []string{"gw.example.org:7000", "[2001:db8::1]:7000"}},
		WireGuard: config.WireGuard{Dataplane: "userspace", Interface: "wan-x", Port: 4000, Advertise: []string{"192.0.2.1:4000"}, MTU: 1380},
		Routing: config.Routing{
			Table: 7000, RulePriority: 100, Mark: 0x40,
			Accept: map[catalog.DatacenterName][]netip.Prefix{
				"east": {netip.MustParsePrefix("10.6.0.0/16"), netip.MustParsePrefix("10.7.0.0/16")}, "north": nil,
			},
			Yield: []netip.Prefix{netip.MustParsePrefix("10.8.0.0/16")},
		},
		Liveness: config.Liveness{Interval: time.Second, Multiplier: 3, Port: 4784},
		Raft:     config.Raft{Timers: "wan", SnapshotThreshold: 100, Store: "bolt"},
		Join:     config.Join{TokenFile: "/etc/meshway/token"},
		Services: []catalog.Service{{
			ServiceKey: catalog.ServiceKey{Namespace: "default", Name: "db", Instance: "gw7"},
			Address:    netip.MustParseAddr("10.3.0.9"),
			Ports:      []catalog.Port{{Name: "sql", Protocol: "tcp", Number: 5432}, {Name: "dns", Protocol: "udp", Number: 53}},
		}, {
			ServiceKey: catalog.ServiceKey{Namespace: "prod", Name: "db", Instance: "two"},
			Address:    netip.MustParseAddr("2001:db8::9"),
			Ports:      []catalog.Port{{Protocol: "tcp", Number: 5432}},
			Labels:     map[string]string{"a": "b"},
		}},
		Local: config.Local{
			Admin:   config.Admin{Socket: "/run/x.sock"},
			Catalog: config.Catalog{Listen: netip.MustParseAddrPort("[::1]:8443"), Tokens: "/etc/tokens"},
			Log:     config.Log{Level: "debug", Format: "json"},
		},
	}, c)
}

func TestFlagsOverrideTheFile(t *testing.T) {
	with := env
	with.Overrides = config.Overrides{
		Datacenter: "west", Gateway: "gw2", DataDir: "/d", Listen: ":1", Dataplane: "kernel", TokenFile: "/t",
		Socket: "/s", MetricsListen: "off", LogLevel: "error", LogFormat: "json",
	}
	c, err := config.Parse(strings.NewReader("datacenter: -bad-\nlog: {level: shout}\n"), "meshd.yaml", with)
	require.NoError(t, err, "an overridden value is not validated")
	assert.Equal(t, catalog.DatacenterName("west"), c.Datacenter)
	assert.Equal(t, "gw2", c.Gateway)
	assert.Equal(t, "/d", c.DataDir)
	assert.Equal(t, netip.MustParseAddrPort("[::]:1"), c.Control.Listen)
	assert.Equal(t, "kernel", c.WireGuard.Dataplane)
	assert.Equal(t, "/t", c.Join.TokenFile)
	assert.Equal(t, "/s", c.Admin.Socket)
	assert.Zero(t, c.Metrics.Listen)
	assert.Equal(t, config.Log{Level: "error", Format: "json"}, c.Log)

	with.Overrides = config.Overrides{LogLevel: "inof"}
	_, err = config.Parse(strings.NewReader("datacenter: east\n"), "meshd.yaml", with)
	assert.EqualError(t, err, `--log-level: log.level: "inof" is unknown: did you mean "info"?`)
}

func TestInvalidConfigurationIsReportedWithPositionAndRemedy(t *testing.T) {
	for _, c := range configtest.InvalidConfigurations() {
		t.Run(c.Name, func(t *testing.T) {
			_, err := parse(t, c.Text())
			require.Error(t, err)
			assert.Equal(t, strings.Join(c.Want, "\n"), err.Error())
		})
	}
}

func TestLargeFileIsRefused(t *testing.T) {
	_, err := parse(t, strings.Repeat("# nothing\n", 1<<15))
	assert.ErrorContains(t, err, "meshd.yaml: it is larger than 262144 bytes")
}

func TestLoadWithAndWithoutAFile(t *testing.T) {
	overrides := config.Overrides{Gateway: "gw1"} // independent of the host name
	path := filepath.Join(t.TempDir(), "meshd.yaml")
	_, err := config.Load(path, overrides, nil)
	require.ErrorIs(t, err, os.ErrNotExist)
	assert.ErrorContains(t, err, "--config")

	require.NoError(t, os.WriteFile(path, []byte("datacenter: east\n"), 0o600))
	c, err := config.Load(path, overrides, nil)
	require.NoError(t, err)
	assert.Equal(t, catalog.DatacenterName("east"), c.Datacenter)

	_, err = config.Load("", overrides, nil)
	assert.EqualError(t, err, `command line: datacenter: the name is required; write "datacenter: NAME", or use --datacenter NAME`)
	overrides.Datacenter = "west"
	c, err = config.Load("", overrides, nil)
	require.NoError(t, err)
	assert.Equal(t, catalog.DatacenterName("west"), c.Datacenter)
}

func TestNameOfAMemberPrecedesThatOfItsHost(t *testing.T) {
	remembered := func(dataDir, byDefault string) string { return map[string]string{"/data": "old"}[dataDir] }
	for name, c := range map[string]struct{ source, host, want string }{
		"renamed host":             {"datacenter: east\ndataDir: /data\n", "new.example.org", "old"},
		"renamed to no valid name": {"datacenter: east\ndataDir: /data\n", "under_score", "old"},
		"no member":                {"datacenter: east\n", "new.example.org", "new"},
		"configured name":          {"datacenter: east\ndataDir: /data\ngateway: gw1\n", "new", "gw1"},
		"node":                     {"datacenter: east\ndataDir: /data\nkubernetes: {enabled: true, nodeName: node-1}\n", "new", "node-1"},
	} {
		c2, err := config.Parse(strings.NewReader(c.source), "meshd.yaml", config.Env{Hostname: c.host, Remembered: remembered})
		require.NoError(t, err, name)
		assert.Equal(t, c.want, c2.Gateway, name)
	}
}

func TestInvalidHostNameRequiresAGatewayName(t *testing.T) {
	for _, name := range []string{"", "under_score", "-x"} {
		_, err := config.Parse(strings.NewReader("datacenter: east\n"), "meshd.yaml", config.Env{Hostname: name})
		require.ErrorContains(t, err, "--gateway NAME")
	}
}

func FuzzParse(f *testing.F) {
	f.Add(config.Reference())
	f.Add("datacenter: east\n")
	f.Add("a: &a [*a]\n<<: *a\n? x\n: y\n--- !!map {}\n")
	for _, c := range configtest.InvalidConfigurations() {
		f.Add(c.Source)
	}
	f.Fuzz(func(t *testing.T, source string) {
		first, err := config.Parse(strings.NewReader(source), "f", env)
		second, again := config.Parse(strings.NewReader(source), "f", env)
		if err != nil {
			require.Error(t, again)
			require.Equal(t, err.Error(), again.Error())
			require.Zero(t, first)
			return
		}
		require.Equal(t, first, second)
		require.NotEmpty(t, first.Datacenter)
	})
}

func TestGatewayOnANodeIsNamedAfterIt(t *testing.T) {
	c, err := parse(t, "datacenter: east\nkubernetes: {enabled: true, nodeName: node-1.example}\n")
	require.NoError(t, err)
	assert.Equal(t, "node-1-example", c.Gateway)
	c, err = parse(t, "datacenter: east\nkubernetes: {enabled: true}\n")
	require.NoError(t, err)
	assert.Equal(t, "gw1.east.example", c.Kubernetes.NodeName)
}
