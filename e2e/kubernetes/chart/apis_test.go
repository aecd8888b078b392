package chart_test

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/structured-merge-diff/v6/typed"
	"sigs.k8s.io/yaml"
)

// apis returns the newest minor versions of Kubernetes, with the module that requires
// client-go of that version. Its apply configurations contain the schema of the API.
func apis() map[string]string {
	return map[string]string{"1.35": "apis/v1.35", "1.36": "apis/v1.36", "1.37": "."}
}

func TestRenderedObjectsFitTheAPIOfThreeMinorVersions(t *testing.T) {
	for version, module := range apis() {
		types := schemaOf(t, module)
		for _, r := range renderings() {
			t.Run(version+"/"+r.name, func(t *testing.T) {
				manifests, err := helm(t, append([]string{"template", "meshway", chartDir, "--kube-version", version + ".0"}, r.flags()...)...)
				require.NoError(t, err, manifests)
				checked := 0
				for _, document := range documents(t, manifests) {
					if isOperatorObject(t, document) {
						continue
					}
					name := typeOf(t, document)
					_, err := types.Type(name).FromYAML(typed.YAMLObject(document))
					assert.NoError(t, err, "%s: %s", name, document)
					checked++
				}
				assert.Greater(t, checked, 5)
			})
		}
	}
}

func TestUnknownFieldsDoNotFitTheAPI(t *testing.T) {
	for version, module := range apis() {
		_, err := schemaOf(t, module).Type("io.k8s.api.apps.v1.DaemonSet").FromYAML("spec: {template: {spec: {hostNetworks: true}}}")
		assert.ErrorContains(t, err, "hostNetworks", version)
	}
}

// typeOf returns the name of the type of an object in the schema.
func typeOf(t *testing.T, document []byte) string {
	t.Helper()
	var object struct{ APIVersion, Kind string }
	require.NoError(t, yaml.Unmarshal(document, &object))
	group, version, ok := strings.Cut(object.APIVersion, "/")
	if !ok {
		group, version = "core", object.APIVersion
	}
	group, _, _ = strings.Cut(group, ".")
	return "io.k8s.api." + group + "." + version + "." + object.Kind
}

// schemaOf returns the schema in client-go, of the version that a module requires.
func schemaOf(t *testing.T, module string) *typed.Parser {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "-C", module, "mod", "download", "-json", "k8s.io/client-go").Output()
	require.NoError(t, err, "%s", out)
	var downloaded struct{ Dir string }
	require.NoError(t, json.Unmarshal(out, &downloaded))
	path := filepath.Join(downloaded.Dir, "applyconfigurations", "internal", "internal.go")
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
	require.NoError(t, err)
	var text string
	ast.Inspect(file, func(node ast.Node) bool {
		if spec, ok := node.(*ast.ValueSpec); ok && spec.Names[0].Name == "schemaYAML" {
			text, err = strconv.Unquote(spec.Values[0].(*ast.CallExpr).Args[0].(*ast.BasicLit).Value)
			require.NoError(t, err)
		}
		return true
	})
	require.NotEmpty(t, text, "%s has no schema", path)
	types, err := typed.NewParser(typed.YAMLObject(text))
	require.NoError(t, err)
	return types
}
