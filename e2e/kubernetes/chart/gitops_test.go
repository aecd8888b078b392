package chart_test

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"
)

// release has the fields of Argo CD's Application and Flux' HelmRelease that name the
// chart and its values.
type release struct {
	Kind string `json:"kind"`
	Spec struct {
		Values map[string]any `json:"values"` // HelmRelease
		Chart  struct {
			Spec struct{ Chart, Version string } `json:"spec"`
		} `json:"chart"`
		Source struct { // Application
			Chart          string `json:"chart"`
			TargetRevision string `json:"targetRevision"`
			Helm           struct {
				ReleaseName  string         `json:"releaseName"`
				ValuesObject map[string]any `json:"valuesObject"`
			} `json:"helm"`
		} `json:"source"`
		IgnoreDifferences []struct{ Kind, Name string } `json:"ignoreDifferences"`
	} `json:"spec"`
}

func TestGitOpsExamplesInstallThisChart(t *testing.T) {
	var chart struct{ Name, Version string }
	read(t, chartDir+"/Chart.yaml", &chart)
	found := map[string]release{}
	for _, file := range []string{"argocd.yaml", "flux.yaml"} {
		text, err := os.ReadFile(filepath.Join("../../../deploy/examples/gitops", file))
		require.NoError(t, err)
		for _, document := range documents(t, string(text)) {
			var r release
			require.NoError(t, yaml.Unmarshal(document, &r))
			found[r.Kind] = r
		}
	}
	application, flux := found["Application"].Spec, found["HelmRelease"].Spec
	assert.Equal(t, []string{chart.Name, chart.Version}, []string{application.Source.Chart, application.Source.TargetRevision})
	assert.Equal(t, []string{chart.Name, chart.Version}, []string{flux.Chart.Spec.Chart, flux.Chart.Spec.Version})

	cfg := configuration(t, valuesRendering(t, application.Source.Helm.ValuesObject))
	require.Len(t, application.IgnoreDifferences, 1)
	assert.Equal(t, cfg.Kubernetes.IdentitySecret, application.IgnoreDifferences[0].Name, "Argo CD keeps what the agents write")
	assert.Equal(t, cfg, configuration(t, valuesRendering(t, flux.Values)))
}

func TestTerraformExampleInstallsThisChart(t *testing.T) {
	var chart struct{ Name, Version string }
	read(t, chartDir+"/Chart.yaml", &chart)
	const dir = "../../../deploy/examples/gitops"
	text, err := os.ReadFile(filepath.Join(dir, "main.tf"))
	require.NoError(t, err)
	assert.Regexp(t, `version +=  *"`+regexp.QuoteMeta(chart.Version)+`"`, string(text))
	values := regexp.MustCompile(`file\("\$\{path\.module\}/([^"]+)"\)`).FindSubmatch(text)
	require.NotNil(t, values)
	r := rendering{"terraform", []string{filepath.Join(dir, string(values[1]))}}
	assert.EqualValues(t, "west", configuration(t, r).Datacenter)
}

// valuesRendering returns the rendering of values.
func valuesRendering(t *testing.T, values map[string]any) rendering {
	t.Helper()
	text, err := yaml.Marshal(values)
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), "values.yaml")
	require.NoError(t, os.WriteFile(file, text, 0o600))
	return rendering{"gitops", []string{file}}
}
