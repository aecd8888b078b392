package deploy_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// value is a key of values.yaml, or a section of it.
type value struct {
	path, fallback, text string
	section              bool
}

var keyLine = regexp.MustCompile(`^( *)([A-Za-z0-9]+):(?: (.*))?$`)

// valuesOf returns the keys of values.yaml in their order. The comment before a key
// describes it. A key without a value is a section if comments or sections follow, and
// else has the lines below as its default.
func valuesOf(t *testing.T, text string) []value {
	t.Helper()
	var values []value
	var path, comment []string
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		match := keyLine.FindStringSubmatch(line)
		trimmed := strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(trimmed, "#"):
			comment = append(comment, strings.TrimSpace(strings.TrimPrefix(trimmed, "#")))
		case trimmed == "":
			comment = nil // of the file
		case match != nil && (len(comment) > 0 || match[3] == ""):
			path = append(path[:len(match[1])/2], match[2])
			v := value{path: strings.Join(path, "."), fallback: match[3], text: strings.Join(comment, " ")}
			if v.fallback == "" {
				next := strings.TrimSpace(lines[i+1])
				v.section = strings.HasPrefix(next, "#") || strings.HasSuffix(next, ":")
				if !v.section {
					v.fallback = next
				}
			}
			values, comment = append(values, v), nil
		}
	}
	return values
}

func TestReadmeOfTheChartHasAllValues(t *testing.T) {
	var rows strings.Builder
	values := valuesOf(t, read(t, "chart/meshway/values.yaml"))
	require.Greater(t, len(values), 50)
	for _, v := range values {
		if v.section {
			if v.text != "" {
				fmt.Fprintf(&rows, "| **%s** | | %s |\n", v.path, cell(v.text))
			}
			continue
		}
		assert.NotEmpty(t, v.text, "values.yaml has no comment before %s", v.path)
		fmt.Fprintf(&rows, "| `%s` | `%s` | %s |\n", v.path, v.fallback, cell(v.text))
	}
	generated(t, "chart/meshway/README.md", "| value | default | meaning |\n|---|---|---|\n"+rows.String())
}

// cell returns text for a cell of a table.
func cell(text string) string {
	return strings.NewReplacer("|", `\|`, "<", "&lt;").Replace(strings.Join(strings.Fields(text), " "))
}
