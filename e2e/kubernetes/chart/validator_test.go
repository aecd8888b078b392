package chart_test

import (
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/meshway/meshway/agent/config"
	"github.com/meshway/meshway/agent/config/configtest"
)

// TestValuesAreRefusedExactlyIfTheAgentRefusesTheirConfiguration gives Helm the values for
// each configuration of the validator's own tests that the chart has values for.
func TestValuesAreRefusedExactlyIfTheAgentRefusesTheirConfiguration(t *testing.T) {
	sources := configtest.Configurations()
	for _, c := range configtest.InvalidConfigurations() {
		sources = append(sources, c.Text())
	}
	verdicts := map[bool]int{}
	for _, source := range sources {
		values, ok := valuesFor(source)
		if !ok {
			continue
		}
		_, refusal := parseAsAgent(source)
		verdicts[refusal == nil]++
		t.Run("", func(t *testing.T) {
			t.Parallel()
			text, err := json.Marshal(values)
			require.NoError(t, err)
			file := filepath.Join(t.TempDir(), "values.json")
			require.NoError(t, os.WriteFile(file, text, 0o600))
			out, err := helm(t, "template", "meshway", chartDir, imageFlag, "--values", file, "--show-only", "templates/configmap.yaml")
			if refusal != nil {
				assert.Error(t, err, "Helm accepts what the agent refuses with %v:\n%s", refusal, text)
				return
			}
			require.NoError(t, err, "Helm refuses what the agent accepts: %s\n%s", text, out)
			for _, rendered := range objectsOf[*corev1.ConfigMap](objects(t, out)) {
				_, err := parseAsAgent(rendered.Data["meshd.yaml"])
				assert.NoError(t, err, "the agent refuses the configuration that Helm makes of %s", text)
			}
		})
	}
	assert.Greater(t, verdicts[true], 60, "valid configurations")
	assert.Greater(t, verdicts[false], 60, "invalid configurations")
}

func parseAsAgent(source string) (config.Config, error) {
	return config.Parse(strings.NewReader(source), "meshd.yaml", config.Env{Hostname: "node-1", Overrides: config.Overrides{NodeName: "node-1"}})
}

// valuesFor returns the values of the chart for a configuration. It reports false for one
// that has other keys of the agent than the chart has values for, or is not made of values.
func valuesFor(source string) (map[string]any, bool) {
	read := map[string]any{}
	if err := yaml.UnmarshalStrict([]byte(source), &read); err != nil || strings.Contains(source, "\n---") {
		return nil, false
	}
	more := map[string]any{}
	values := map[string]any{"config": more}
	for key, value := range read {
		section, _ := value.(map[string]any)
		ok := true
		switch key {
		case "datacenter":
			values["datacenter"] = map[string]any{"name": value}
		case "kubernetes":
			ok = addKubernetes(values, section)
		case "metrics":
			host, port, found := splitPlace(section["listen"])
			values["metrics"], ok = map[string]any{"address": host, "port": port}, found
		case "catalog":
			host, port, found := splitPlace(section["listen"])
			values["catalog"] = map[string]any{"port": port, "tokensSecret": map[string]any{"name": "tokens"}}
			ok = found && host == "127.0.0.1" && section["tokens"] != nil
		case "wireguard":
			if dataplane, found := section["dataplane"]; found {
				values["dataplane"] = dataplane
				delete(section, "dataplane")
			}
			more[key] = value
		case "gateway", "dataDir", "prefixes", "services", "admin", "join":
			ok = false
		default: // also keys that neither has
			more[key] = value
		}
		if !ok {
			return nil, false
		}
	}
	return values, true
}

// addKubernetes adds the values for the section kubernetes.
func addKubernetes(values, section map[string]any) bool {
	discovery := map[string]any{}
	values["discovery"] = discovery
	for key, value := range section {
		switch {
		case key == "enabled" && value == true:
		case slices.Contains([]string{"podCIDRs", "serviceCIDRs", "announceNodes"}, key):
			discovery[key] = value
		case key == "gatewayLabel":
			values["gateways"] = map[string]any{"label": value}
		default:
			return false
		}
	}
	return true
}

// splitPlace splits an address to listen on with a number as its port.
func splitPlace(listen any) (host string, port int, ok bool) {
	text, _ := listen.(string)
	host, number, err := net.SplitHostPort(text)
	if err != nil {
		return "", 0, false
	}
	port, err = strconv.Atoi(number)
	return host, port, err == nil
}
