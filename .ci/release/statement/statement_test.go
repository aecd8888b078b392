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

func TestProvenanceNamesEachFileTheImageAndTheCommit(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "a.deb"), []byte("a"), 0o644))
	src := source.Source{Version: "v0.2.0", Commit: strings.Repeat("c", 40)}
	require.NoError(t, statement.WriteProvenance(dir, src, statement.Image("ghcr.io/meshway/meshway", "sha256:"+strings.Repeat("d", 64))))

	type artefact struct {
		Name, URI string
		Digest    map[string]string
	}
	var written struct {
		Type          string `json:"_type"`
		PredicateType string
		Subject       []artefact
		Predicate     struct {
			BuildDefinition struct{ ResolvedDependencies []artefact }
		}
	}
	decode(t, filepath.Join(dir, statement.ProvenanceFile), &written)
	assert.Equal(t, "https://in-toto.io/Statement/v1", written.Type)
	assert.Equal(t, "https://slsa.dev/provenance/v1", written.PredicateType)
	assert.Equal(t, []artefact{
		{Name: "a.deb", Digest: map[string]string{"sha256": "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"}},
		{Name: "ghcr.io/meshway/meshway", Digest: map[string]string{"sha256": strings.Repeat("d", 64)}},
	}, written.Subject)
	assert.Equal(t, []artefact{{
		URI: "git+https://github.com/meshway/meshway@refs/tags/v0.2.0", Digest: map[string]string{"gitCommit": src.Commit},
	}}, written.Predicate.BuildDefinition.ResolvedDependencies)
}

func decode(t *testing.T, file string, into any) {
	t.Helper()
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, into))
}
