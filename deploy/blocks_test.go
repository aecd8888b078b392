package deploy_test

import (
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// command is a line of a block of commands in the documentation, with its file.
type command struct {
	file  string
	words []string
}

// programsOfDocs are the programs that blocks of the documentation use. The commands and
// flags of meshctl and meshd are checked in cmd/meshctl and cmd/meshd.
func programsOfDocs() []string {
	return []string{"meshctl", "meshd", "helm", "kubectl", "systemctl", "install", "iptables", "nft", "umask", "echo", "api"}
}

func docCommands(t *testing.T) []command {
	t.Helper()
	files, err := filepath.Glob("docs/*.md")
	require.NoError(t, err)
	files = slices.DeleteFunc(files, func(name string) bool { return strings.HasPrefix(name, "docs/mesh") }) // generated
	files = append(files, "chart/meshway/README.md", "../README.md")
	prompt := regexp.MustCompile(`^[a-z]+# +`)
	joined := regexp.MustCompile(`(?: \\|\|)\n +`)
	start := regexp.MustCompile(`^(?:    |  +)([a-z].*)$`)
	var found []command
	for _, file := range files {
		for line := range strings.Lines(joined.ReplaceAllString(read(t, file), " ")) {
			match := start.FindStringSubmatch(strings.TrimSuffix(line, "\n"))
			if match == nil || !strings.HasPrefix(line, "    ") {
				continue
			}
			words := strings.Fields(prompt.ReplaceAllString(match[1], ""))
			if slices.Contains(programsOfDocs(), words[0]) {
				found = append(found, command{file, words})
			}
		}
	}
	return found
}

func TestCommandsOfHelmInTheDocumentationSetValuesThatTheChartHas(t *testing.T) {
	var paths []string
	for _, v := range valuesOf(t, read(t, "chart/meshway/values.yaml")) {
		paths = append(paths, v.path)
	}
	flags := []string{"-n", "-f", "--create-namespace", "--no-hooks", "--reset-then-reuse-values", "--set", "--version"}
	checked := 0
	for _, c := range docCommands(t) {
		at := slices.Index(c.words, "helm")
		if at < 0 {
			continue
		}
		checked++
		words := c.words[at+1:]
		if pipe := slices.Index(words, "kubectl"); pipe >= 0 {
			words = words[:pipe]
		}
		assert.Contains(t, []string{"install", "upgrade", "uninstall", "show", "test"}, words[0], "%v", c)
		for i, word := range words {
			if strings.HasPrefix(word, "-") {
				assert.Contains(t, flags, word, "%v: Helm of this project's tests has no such flag in a command", c)
			}
			if word == "--set" {
				for pair := range strings.SplitSeq(words[i+1], ",") {
					key, _, _ := strings.Cut(pair, "=")
					assert.Contains(t, paths, key, "%v", c)
				}
			}
		}
	}
	assert.GreaterOrEqual(t, checked, 5)
}

func TestCommandsOfKubectlInTheDocumentationNameWhatExists(t *testing.T) {
	resources := []string{"node", "namespace", "crd", "crds", "job", "events"}
	crds, err := filepath.Glob("chart/meshway/crds/*.yaml")
	require.NoError(t, err)
	for _, file := range crds {
		name, _, _ := strings.Cut(filepath.Base(file), ".")
		resources = append(resources, name)
	}
	checked := 0
	for _, c := range docCommands(t) {
		at := slices.Index(c.words, "kubectl")
		if at < 0 {
			continue
		}
		checked++
		words := c.words[at+1:]
		if words[0] == "--context" || words[0] == "-n" {
			words = words[2:]
		}
		switch words[0] {
		case "apply": // -f FILE
		case "krew":
			assert.Equal(t, []string{"install", "--manifest=meshway.yaml"}, words[1:], "the file that .ci/release/krew writes")
		case "get", "label", "annotate", "delete":
			assert.Contains(t, resources, words[1], "%v", c)
		default:
			assert.Fail(t, "unknown verb", "%v", c)
		}
	}
	assert.GreaterOrEqual(t, checked, 4)
}
