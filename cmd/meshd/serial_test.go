package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestPackagesTestedWithoutTheRaceDetectorStartNoGoroutine checks the list SERIAL of
// the Makefile.
func TestPackagesTestedWithoutTheRaceDetectorStartNoGoroutine(t *testing.T) {
	makefile, err := os.ReadFile(filepath.Join(root, "Makefile"))
	require.NoError(t, err)
	_, list, ok := strings.Cut(string(makefile), "\nSERIAL =")
	require.True(t, ok, "the Makefile has no list SERIAL")
	list, _, _ = strings.Cut(strings.ReplaceAll(list, "\\\n", " "), "\n")
	require.NotEmpty(t, strings.Fields(list))
	for _, dir := range strings.Fields(list) {
		files, err := filepath.Glob(filepath.Join(root, dir, "*.go"))
		require.NoError(t, err)
		require.NotEmpty(t, files, "SERIAL contains %s, which is no package", dir)
		for _, path := range files {
			fset := token.NewFileSet()
			file, err := parser.ParseFile(fset, path, nil, parser.SkipObjectResolution)
			require.NoError(t, err)
			for _, at := range concurrency(file) {
				assert.Fail(t, "this starts a goroutine: remove the package from SERIAL in the Makefile", fset.Position(at).String())
			}
		}
	}
}

// concurrency returns the places where a file starts a goroutine: by a statement, a
// group, a bubble or parallel tests.
func concurrency(file *ast.File) []token.Pos {
	var found []token.Pos
	ast.Inspect(file, func(node ast.Node) bool {
		switch n := node.(type) {
		case *ast.GoStmt:
			found = append(found, n.Pos())
		case *ast.SelectorExpr:
			switch n.Sel.Name {
			case "Go", "Parallel", "RunParallel", "AfterFunc":
				found = append(found, n.Pos())
			}
		case *ast.ImportSpec:
			switch n.Path.Value {
			case `"testing/synctest"`, `"net/http/httptest"`, `"os/exec"`:
				found = append(found, n.Pos())
			}
		}
		return true
	})
	return found
}
