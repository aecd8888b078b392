package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestSourceHabits checks what the compiler does not, also in files that build
// tags exclude.
func TestSourceHabits(t *testing.T) {
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && path != root && strings.HasPrefix(entry.Name(), ".") {
			return fs.SkipDir
		}
		if entry.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, ".pb.go") {
			return nil
		}
		fset := token.NewFileSet()
		file, err := parser.ParseFile(fset, path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		for _, v := range violations(path, file) {
			t.Errorf("%s: %s", fset.Position(v.at), v.text)
		}
		return nil
	})
	require.NoError(t, err)
}

type violation struct {
	at   token.Pos
	text string
}

func violations(path string, file *ast.File) []violation {
	var found []violation
	inBubble := hasBubbles(filepath.Dir(path)) && strings.HasSuffix(path, "_test.go") && !strings.HasSuffix(path, "_root_test.go")
	pure := false
	for _, dir := range []string{
		"consensus/catalog", "consensus/catalog/replica", "consensus/raftnode/internal/quorum", "agent/interference", "tunnel", "routes",
		"agent/plan", "agent/plan/acceptance", "agent/plan/gatewayplan", "agent/plan/nodeplan", "agent/plan/prefixset", "agent/plan/routing", "agent/plan/sighting", "agent/plan/tunnelend",
	} {
		pure = pure || filepath.Dir(path) == filepath.Join(root, dir) && !strings.HasSuffix(path, "_test.go")
	}
	ast.Inspect(file, func(node ast.Node) bool {
		switch n := node.(type) {
		case *ast.FuncDecl:
			if n.Recv == nil && n.Name.Name == "init" {
				found = append(found, violation{n.Pos(), "init runs because of an import; call a function instead"})
			}
		case *ast.CallExpr:
			switch {
			case isCall(n, "time", "Sleep") && !inBubble:
				found = append(found, violation{n.Pos(), "wait for a condition; time.Sleep only under testing/synctest"})
			case isCall(n, "time", "Now") && pure:
				found = append(found, violation{n.Pos(), "this package is pure; take the time as an argument"})
			case isCallOf(n, "Skip", "Skipf", "SkipNow") && strings.HasSuffix(path, "_test.go"):
				found = append(found, violation{n.Pos(), "a test that cannot run fails with the reason; it is never skipped"})
			}
		}
		return true
	})
	return found
}

// hasBubbles reports whether tests of a directory run under testing/synctest,
// where sleeping takes no time and waits for all others. Helpers may wrap it,
// so it need not be the very file that sleeps.
func hasBubbles(dir string) bool {
	files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	return err == nil && slices.ContainsFunc(files, func(file string) bool {
		text, err := os.ReadFile(file)
		return err == nil && strings.Contains(string(text), "synctest.Test(")
	})
}

func isCall(call *ast.CallExpr, pkg, name string) bool {
	selector, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	x, ok := selector.X.(*ast.Ident)
	return ok && x.Name == pkg && selector.Sel.Name == name
}

func isCallOf(call *ast.CallExpr, names ...string) bool {
	return slices.ContainsFunc(names, func(name string) bool { return isCall(call, "t", name) || isCall(call, "b", name) })
}
