package deploy_test

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const definitionSums = "testdata/crds.sum"

// A chart is only installed on a cluster that has its custom resource definitions, which
// their version states. testdata/crds.sum has each version with the sum of its text.
func TestAChangedCustomResourceDefinitionHasANewVersion(t *testing.T) {
	files, err := filepath.Glob("chart/meshway/crds/*.meshway.io.yaml")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	recorded := read(t, definitionSums)
	for _, file := range files {
		text := read(t, file)
		version := regexp.MustCompile(`(?m)^    meshway.io/version: "([1-9][0-9]*)"$`).FindStringSubmatch(text)
		require.NotEmpty(t, version, "%s has no annotation meshway.io/version", file)
		key := filepath.Base(file) + " " + version[1] + " "
		line := fmt.Sprintf("%s%x\n", key, sha256.Sum256([]byte(text)))
		if *update && !strings.Contains("\n"+recorded, "\n"+key) {
			recorded += line
			require.NoError(t, os.WriteFile(definitionSums, []byte(recorded), 0o644))
		}
		assert.Contains(t, recorded, line, "%s was changed: raise its annotation meshway.io/version, then run go test ./deploy -update", file)
	}
}
