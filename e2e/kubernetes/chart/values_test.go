package chart_test

import (
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"

	"github.com/meshway/meshway/agent/config"
)

func TestInvalidValuesAreRefusedWithTheirKeyAndAReason(t *testing.T) {
	for _, c := range []struct {
		name string
		set  []string
		want string
	}{
		{"no name", []string{"datacenter.name="}, "datacenter.name is missing: set a name for this cluster"},
		{"no image", []string{"image.tag="}, "image.tag is missing: no image is published for the chart of the source tree; install the chart of a release, or run make image"},
		{"a name with capitals", []string{"datacenter.name=East"}, `datacenter.name: "East" is not a DNS label; use 1 to 63 of a-z, 0-9 and '-'`},
		{"a name that ends with a dash", []string{"datacenter.name=east-"}, `datacenter.name: "east-" is not a DNS label; use 1 to 63 of a-z, 0-9 and '-', with a letter or digit at both ends`},
		{"a name that is a number", []string{"datacenter.name=7"}, "at '/datacenter/name': got number, want string"},
		{"an unknown key", []string{"datacentre.name=east"}, "additional properties 'datacentre' not allowed"},
		{"an unknown nested key", []string{"agent.tolerance=1"}, "at '/agent': additional properties 'tolerance' not allowed"},
		{"an unknown key of the agent", []string{"config.wireguard.prot=1"}, "at '/config/wireguard': additional properties 'prot' not allowed"},
		{"a text instead of a CIDR", []string{"discovery.podCIDRs={pods}"}, `discovery.podCIDRs: "pods" is not a CIDR; write address/length, such as 10.1.0.0/16`},
		{"an incomplete CIDR", []string{"discovery.podCIDRs={10.1/16}"}, `discovery.podCIDRs: "10.1/16" is not a CIDR; write address/length, such as 10.1.0.0/16`},
		{"a CIDR with an invalid address", []string{"discovery.podCIDRs={10.300.0.0/16}"}, `discovery.podCIDRs: "10.300.0.0/16" is not a CIDR; write address/length, such as 10.1.0.0/16`},
		{"a CIDR with host bits", []string{"discovery.serviceCIDRs={10.96.0.1/12}"}, `discovery.serviceCIDRs: "10.96.0.1/12" has host bits after its /12`},
		{"a CIDR of all addresses", []string{"discovery.podCIDRs={0.0.0.0/0}"}, `discovery.podCIDRs: "0.0.0.0/0" must have a length of 1 to 32`},
		{"an IPv6 CIDR with host bits", []string{"discovery.podCIDRs={fd00::1/64}"}, `discovery.podCIDRs: "fd00::1/64" has host bits after its /64`},
		{"CIDRs that overlap", []string{"discovery.podCIDRs={10.1.0.0/16,10.1.4.0/24}"}, `discovery.podCIDRs: "10.1.4.0/24" overlaps another CIDR of the list`},
		{"a reserved CIDR", []string{"discovery.podCIDRs={169.254.7.0/24}"}, `discovery.podCIDRs: "169.254.7.0/24" overlaps 169.254.0.0/16, which no cluster can own`},
		{"an endpoint of this host only", []string{"config.wireguard.advertise={[fe80::1%eth0]:51820}"}, `config.wireguard.advertise: "[fe80::1%eth0]:51820" is not an address of this host for others`},
		{"a prefix of other interfaces", []string{"config.wireguard.interface=eth"}, `config.wireguard.interface: "eth" is also the prefix of other interfaces, such as eth0`},
		{"a part of a second", []string{"config.wireguard.keepalive=1500ms"}, "config.wireguard.keepalive: 1500ms is not a whole number of seconds"},
		{"an interval that is too short", []string{"config.liveness.interval=20ms"}, "config.liveness.interval: 20ms is out of range; use 50ms to 10s"},
		{"a port of the tunnels", []string{"config.wireguard.port=3784"}, "config.liveness.port: 3784 is a port of the tunnels, which use UDP 3784 to 3847"},
		{"a port twice", []string{"metrics.port=7443"}, "metrics: 127.0.0.1:7443 is also the port of config.control.listen [::]:7443; use another one"},
		{"a port of the catalog twice", []string{"catalog.port=9443", "catalog.tokensSecret.name=tokens"}, "catalog: 127.0.0.1:9443 is also the port of metrics 127.0.0.1:9443; use another one"},
		{"a table of the system", []string{"config.routing.table=254"}, "config.routing.table: 254 is a table of the system"},
		{"ranges of itself", []string{"config.routing.accept.east={10.1.0.0/16}"}, "config.routing.accept.east: it is this datacenter; name another one"},
		{"an unknown data plane", []string{"dataplane=auto"}, "at '/dataplane': value must be one of 'kernel', 'userspace'"},
		{"an invalid port", []string{"metrics.port=70000"}, "at '/metrics/port': maximum: got 70,000, want 65,535"},
		{"an invalid duration", []string{"config.liveness.interval=200"}, "at '/config/liveness/interval': got number, want string"},
		{"a label without a value", []string{"gateways.label=gateway"}, `gateways.label: "gateway" is not a label; write key=value, such as meshway.io/gateway=true`},
		{"services among the pods", []string{"discovery.podCIDRs={10.0.0.0/8}", "discovery.serviceCIDRs={10.96.0.0/12}"}, "discovery.serviceCIDRs: 10.96.0.0/12 overlaps 10.0.0.0/8 in discovery.podCIDRs"},
		{"a section without values", []string{"datacenter=null"}, "at '': missing property 'datacenter'"},
		{"an endpoint without a port", []string{"config.wireguard.advertise={192.0.2.1}"}, `config.wireguard.advertise: "192.0.2.1" has no port; write host:port, such as 192.0.2.1:51820`},
		{"a duration without a unit", []string{"config.wireguard.keepalive=x"}, `config.wireguard.keepalive: "x" is not a duration; write a number and a unit, such as 25s or 200ms`},
		{"an invalid prefix of interfaces", []string{"config.wireguard.interface=mesh1"}, `config.wireguard.interface: "mesh1" is not a prefix of interface names; use 1 to 12 of a-z`},
		{"a control port without an address", []string{"config.control.listen=x"}, `config.control.listen: "x" is not an address to listen on; write address:port`},
		{"a name of an address", []string{"metrics.address=localhost"}, `metrics.address: "localhost" is not an IP address; write one of the host`},
		{"an incomplete digest", []string{"image.digest=sha256:12"}, `image.digest: "sha256:12" is not the digest of an image; write sha256: and 64 of 0-9 and a-f`},
		{"a digest as a tag", []string{"image.tag=sha256:12"}, `image.tag: "sha256:12" is not a tag of an image; write one such as v0.2.0, and a digest (sha256:...) in image.digest`},
		{"a quantity in words", []string{"agent.resources.limits.memory=lots"}, `agent.resources.limits.memory: "lots" is not a quantity; write a number with or without a unit`},
		{"a quantity with another unit", []string{"userspace.resources.requests.memory=64MB"}, `userspace.resources.requests.memory: "64MB" is not a quantity`},
		{"a percentage of no nodes", []string{"agent.maxUnavailable=0%"}, `agent.maxUnavailable: "0%" is not a number of nodes; write a number such as 1, or a percentage from 1% to 100%`},
		{"a name of a Secret with capitals", []string{"join.tokenSecret.name=Token"}, `join.tokenSecret.name: "Token" is not a name of an object in Kubernetes`},
		{"a key of a Secret with a slash", []string{"catalog.tokensSecret.key=a/b"}, `catalog.tokensSecret.key: "a/b" is not a key of a Secret`},
		{"a name of a pull secret", []string{"imagePullSecrets[0].name=a_b"}, `imagePullSecrets[0].name: "a_b" is not a name of an object in Kubernetes`},
		{"a name of a service account", []string{"serviceAccount.gatewayName=-"}, `serviceAccount.gatewayName: "-" is not a name of an object in Kubernetes`},
		{"an interval of a monitor", []string{"podMonitor.interval=often"}, `podMonitor.interval: "often" is not an interval of Prometheus; write a whole number and a unit, such as 30s`},
		{"a name of objects that is too long", []string{"fullnameOverride=" + strings.Repeat("a", 53)}, "is not a name of objects; use 1 to 52 of a-z"},
		{"a variable of the chart", []string{"agent.extraEnv[0].name=MESHWAY_LANES"}, "agent.extraEnv[0].name: MESHWAY_LANES is a variable of the chart; use the value of the chart for it, or another name"},
		{"a time that is too short", []string{"preflight.timeoutSeconds=1"}, "at '/preflight/timeoutSeconds': minimum: got 1, want 5"},
		{"two monitors", []string{"podMonitor.enabled=true", "serviceMonitor.enabled=true"}, "enable only one of them"},
		{"a monitor that cannot reach the metrics", []string{"podMonitor.enabled=true", "metrics.address=127.0.0.1"}, "metrics.address 127.0.0.1: Prometheus cannot reach it"},
	} {
		t.Run(c.name, func(t *testing.T) {
			args := []string{"template", "meshway", chartDir, imageFlag, "--set", "datacenter.name=east"}
			for _, set := range c.set {
				args = append(args, "--set", set)
			}
			out, err := helm(t, args...)
			require.Error(t, err, out)
			assert.Contains(t, out, c.want)
			assert.Equal(t, 1, strings.Count(out, "Error:"), "one error: %s", out)
		})
	}
}

// TestLintNamesEachMissingValueOnce runs helm lint, in which templates go on after an error.
func TestLintNamesEachMissingValueOnce(t *testing.T) {
	stdout, out, err := helmSplit(t, "lint", chartDir)
	require.NoError(t, err, stdout+out)
	assert.Equal(t, 1, strings.Count(out, "datacenter.name is missing"), out)
	assert.Equal(t, 1, strings.Count(out, "image.tag is missing"), out)
	assert.Equal(t, 2, strings.Count(out, "funcMap fail"), out)
}

// TestSchemaLeavesFormatsToTemplates holds the division: Helm's error of a pattern is the
// pattern, that of a template is the rule in words.
func TestSchemaLeavesFormatsToTemplates(t *testing.T) {
	text, err := os.ReadFile(chartDir + "/values.schema.json")
	require.NoError(t, err)
	assert.NotContains(t, string(text), `"pattern"`)
}

// schema has the fields of a JSON schema that the tests use.
type schema struct {
	Ref                  string            `json:"$ref"`
	Description          string            `json:"description"`
	Properties           map[string]schema `json:"properties"`
	AdditionalProperties any               `json:"additionalProperties"`
	Definitions          map[string]schema `json:"definitions"`
}

func TestSchemaHasExactlyTheKeysOfTheValues(t *testing.T) {
	var values map[string]any
	root := readSchema(t)
	read(t, chartDir+"/values.yaml", &values)
	delete(root.Properties, "global") // Helm's own
	compareKeys(t, root, root, values, "values")
}

func compareKeys(t *testing.T, root, s schema, values map[string]any, path string) {
	t.Helper()
	if len(s.Ref) > 0 {
		s = root.Definitions[s.Ref[len("#/definitions/"):]]
	}
	if s.AdditionalProperties != false || path == "values.config" || path == "values.agent.resources" ||
		path == "values.userspace.resources" || path == "values.agent.seLinuxOptions" {
		return // users choose the keys
	}
	assert.Equal(t, slices.Sorted(maps.Keys(values)), slices.Sorted(maps.Keys(s.Properties)), path)
	for key, value := range values {
		if below, ok := value.(map[string]any); ok {
			compareKeys(t, root, s.Properties[key], below, path+"."+key)
		}
	}
}

func TestSchemaDescribesEachKeyAndRefusesUnknownOnes(t *testing.T) {
	root := readSchema(t)
	requireDescriptions(t, root, "values")
	for name, definition := range root.Definitions {
		requireDescriptions(t, definition, name)
	}
}

func requireDescriptions(t *testing.T, s schema, path string) {
	t.Helper()
	if len(s.Properties) > 0 {
		assert.Equal(t, false, s.AdditionalProperties, "%s accepts unknown keys", path)
	}
	for key, below := range s.Properties {
		assert.NotEmpty(t, below.Description, "%s.%s", path, key)
		requireDescriptions(t, below, path+"."+key)
	}
}

func TestSchemaHasTheKeysOfTheAgentsConfiguration(t *testing.T) {
	var reference map[string]any
	require.NoError(t, yaml.Unmarshal([]byte(config.Reference()), &reference))
	for section, s := range readSchema(t).Properties["config"].Properties {
		keys := reference[section].(map[string]any)
		delete(keys, "dataplane") // a separate value of the chart
		assert.Equal(t, slices.Sorted(maps.Keys(keys)), slices.Sorted(maps.Keys(s.Properties)), section)
	}
}

func readSchema(t *testing.T) schema {
	t.Helper()
	var s schema
	read(t, chartDir+"/values.schema.json", &s)
	return s
}

func read(t *testing.T, file string, into any) {
	t.Helper()
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	require.NoError(t, yaml.Unmarshal(text, into))
}
