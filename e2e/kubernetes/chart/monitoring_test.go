package chart_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/meshway/meshway/agent/status"
)

const monitoring = "../../../deploy/monitoring/"

// metrics returns the labels of the agent's metrics by name.
func metrics(t *testing.T) map[string][]string {
	t.Helper()
	descriptions := make(chan *prometheus.Desc)
	go func() {
		defer close(descriptions)
		status.NewCollector(func() status.Snapshot { return status.Snapshot{} }).Describe(descriptions)
	}()
	found := map[string][]string{"process_resident_memory_bytes": nil}
	pattern := regexp.MustCompile(`fqName: "([^"]+)".*variableLabels: \{([^}]*)\}`)
	for d := range descriptions {
		match := pattern.FindStringSubmatch(d.String())
		require.NotNil(t, match, "%s", d)
		found[match[1]] = strings.Split(match[2], ",")
	}
	return found
}

// expressionNames returns the metrics of a PromQL expression.
func expressionNames(expression string) []string {
	return regexp.MustCompile(`\b(meshway|process)_[a-z_]+`).FindAllString(expression, -1)
}

func TestAlertsUseMetricsAndLabelsThatExist(t *testing.T) {
	known := metrics(t)
	var rules ruleGroup
	read(t, monitoring+"alerts.yaml", &rules)
	label := regexp.MustCompile(`\$labels\.([a-z_]+)`)
	names := map[string]bool{}
	for _, group := range rules.Groups {
		for _, a := range group.Rules {
			assert.False(t, names[a.Alert], "there are two alerts %s", a.Alert)
			names[a.Alert] = true
			assert.Contains(t, []string{"critical", "warning"}, a.Labels["severity"], a.Alert)
			found := expressionNames(a.Expr)
			require.NotEmpty(t, found, a.Alert)
			labels := []string{"instance", "cluster", "node"} // of the scrape
			for _, name := range found {
				require.Contains(t, known, name, a.Alert)
				labels = append(labels, known[name]...)
			}
			for _, used := range label.FindAllStringSubmatch(a.Annotations["summary"]+a.Annotations["description"], -1) {
				assert.Contains(t, labels, used[1], a.Alert)
			}
			assert.NotEmpty(t, a.Annotations["description"], a.Alert)
		}
	}
	assert.NotEmpty(t, names)
}

func TestDashboardUsesMetricsThatExist(t *testing.T) {
	known := metrics(t)
	var dashboard struct {
		Panels []struct {
			ID      int
			Title   string
			GridPos struct{ X, Y, W, H int }
			Targets []struct{ Expr string }
		}
	}
	read(t, monitoring+"dashboard.json", &dashboard)
	var ids []int
	for _, panel := range dashboard.Panels {
		assert.NotContains(t, ids, panel.ID)
		ids = append(ids, panel.ID)
		assert.LessOrEqual(t, panel.GridPos.X+panel.GridPos.W, 24, panel.Title)
		for _, target := range panel.Targets {
			for _, name := range expressionNames(target.Expr) {
				assert.Contains(t, known, name, panel.Title)
			}
			assert.NotEmpty(t, expressionNames(target.Expr), panel.Title)
		}
	}
	assert.NotEmpty(t, ids)
}

func TestChartContainsTheDashboardAndAlertsOfTheMonitoringFiles(t *testing.T) {
	manifests := renderingOf("monitoring").template(t)
	var want, have any
	read(t, monitoring+"dashboard.json", &want)
	require.NoError(t, yaml.Unmarshal([]byte(objectsOf[*corev1.ConfigMap](objects(t, manifests))["meshway-dashboard"].Data["meshway.json"]), &have))
	assert.Equal(t, want, have)

	var rules ruleGroup
	read(t, monitoring+"alerts.yaml", &rules)
	found := false
	for _, document := range documents(t, manifests) {
		var r rule
		if require.NoError(t, yaml.Unmarshal(document, &r)); r.Kind == "PrometheusRule" {
			found = true
			assert.Equal(t, rules, r.Spec)
		}
	}
	assert.True(t, found)
}
