package statement_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/release/debian"
	"github.com/meshway/meshway/release/source"
	"github.com/meshway/meshway/release/statement"
)

func TestBillListsModulesAndPackagesOfDebian(t *testing.T) {
	program := filepath.Join(t.TempDir(), "release")
	out, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, "..").CombinedOutput()
	require.NoError(t, err, "%s", out)
	bill, err := statement.NewBill(program, source.Source{Time: time.Unix(1700000000, 0).UTC()})
	require.NoError(t, err)
	bill.Add([]debian.Package{{Arch: "amd64", Name: "nftables", Version: "1.0.6-2", SHA256: strings.Repeat("0", 64)}})
	file := filepath.Join(t.TempDir(), "bill.cdx.json")
	require.NoError(t, bill.Write(file))

	var written struct {
		BOMFormat  string
		Metadata   struct{ Timestamp string }
		Components []struct{ Name, Purl string }
	}
	decode(t, file, &written)
	assert.Equal(t, "CycloneDX", written.BOMFormat)
	assert.Equal(t, "2023-11-14T22:13:20Z", written.Metadata.Timestamp)
	urls := map[string]string{}
	for _, component := range written.Components {
		urls[component.Name] = component.Purl
	}
	assert.Contains(t, urls["golang.org/x/mod"], "pkg:golang/golang.org/x/mod@v0.")
	assert.Contains(t, urls, "std")
	assert.Equal(t, "pkg:deb/debian/nftables@1.0.6-2?arch=amd64", urls["nftables"])
}

// provenance is the part of a statement that the tests read.
type provenance struct {
	Type          string `json:"_type"`
	PredicateType string
	Subject       []artefact
	Predicate     struct {
		BuildDefinition struct{ ResolvedDependencies []artefact }
		RunDetails      struct{ Builder struct{ ID string } }
	}
}

type artefact struct {
	Name, URI string
	Digest    map[string]string
}

// written returns the provenance of a release that is built in an environment.
func written(t *testing.T, environment map[string]string) provenance {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "a.deb"), []byte("a"), 0o644))
	src := source.Source{Version: "v0.2.0", Commit: strings.Repeat("c", 40)}
	image := statement.Image("ghcr.io/meshway/meshway", "sha256:"+strings.Repeat("d", 64))
	require.NoError(t, statement.WriteProvenance(dir, src, image, func(name string) string { return environment[name] }))
	var p provenance
	decode(t, filepath.Join(dir, statement.ProvenanceFile), &p)
	return p
}

func TestProvenanceNamesEachFileTheImageAndTheCommit(t *testing.T) {
	p := written(t, map[string]string{
		"GITHUB_ACTIONS": "true", "GITHUB_SERVER_URL": "https://github.com", "GITHUB_REPOSITORY": "someone/meshway", "GITHUB_REF_TYPE": "tag",
		"GITHUB_WORKFLOW_REF": "someone/meshway/.github/workflows/release.yml@refs/tags/v0.2.0",
	})
	assert.Equal(t, "https://in-toto.io/Statement/v1", p.Type)
	assert.Equal(t, "https://slsa.dev/provenance/v1", p.PredicateType)
	assert.Equal(t, []artefact{
		{Name: "a.deb", Digest: map[string]string{"sha256": "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"}},
		{Name: "ghcr.io/meshway/meshway", Digest: map[string]string{"sha256": strings.Repeat("d", 64)}},
	}, p.Subject)
	assert.Equal(t, []artefact{{
		URI: "git+https://github.com/someone/meshway@refs/tags/v0.2.0", Digest: map[string]string{"gitCommit": strings.Repeat("c", 40)},
	}}, p.Predicate.BuildDefinition.ResolvedDependencies)
	assert.Equal(t, "https://github.com/someone/meshway/.github/workflows/release.yml@refs/tags/v0.2.0", p.Predicate.RunDetails.Builder.ID)
}

func TestProvenanceOfALocalBuildNamesNeitherWorkflowNorTag(t *testing.T) {
	p := written(t, nil)
	assert.Equal(t, []artefact{{Name: "source", Digest: map[string]string{"gitCommit": strings.Repeat("c", 40)}}}, p.Predicate.BuildDefinition.ResolvedDependencies)
	assert.Equal(t, "urn:meshway:builder:local", p.Predicate.RunDetails.Builder.ID)
}

func decode(t *testing.T, file string, into any) {
	t.Helper()
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, into))
}
