package deploy_test

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/agent/status"
)

func TestReferenceOfMetricsIsCurrent(t *testing.T) {
	descriptions := make(chan *prometheus.Desc, 1000)
	status.NewCollector(nil).Describe(descriptions)
	close(descriptions)
	var rows []string
	form := regexp.MustCompile(`^Desc{fqName: "([^"]*)", help: "([^"]*)", .*variableLabels: {([^}]*)}}$`)
	for description := range descriptions {
		parts := form.FindStringSubmatch(description.String())
		require.NotEmpty(t, parts, "%s", description)
		labels := ""
		if parts[3] != "" {
			labels = "`" + strings.ReplaceAll(parts[3], ",", "`, `") + "`"
		}
		rows = append(rows, fmt.Sprintf("| `%s` | %s | %s |\n", parts[1], labels, parts[2]))
	}
	require.Greater(t, len(rows), 30)
	slices.Sort(rows)
	generated(t, "docs/metrics.md", "| metric | labels | meaning |\n|---|---|---|\n"+strings.Join(rows, ""))
}
