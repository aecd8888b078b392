package deploy_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// computedCodes are codes of problems that the code does not contain as one literal.
func computedCodes() []string {
	return []string{
		"pod-cidrs-unknown", "service-cidrs-unknown", // agent/kube: what + "-cidrs-unknown"
		"raft-sender", "raft-not-voter", "raft-term", "raft-malformed", "raft-snapshot", "raft-version", // agent/membership: the code of a refused message
	}
}

func TestTroubleshootingHasASectionForEachProblem(t *testing.T) {
	codes := problemCodes(t)
	require.Greater(t, len(codes), 40)
	sections := map[string]string{}
	for _, section := range strings.Split(read(t, "docs/troubleshooting.md"), "\n### ")[1:] {
		heading, text, _ := strings.Cut(section, "\n")
		text, _, _ = strings.Cut(text, "\n## ")
		for _, code := range regexp.MustCompile("`([a-z0-9-]+)`").FindAllStringSubmatch(heading, -1) {
			assert.NotContains(t, sections, code[1], "two sections have the code %s", code[1])
			sections[code[1]] = strings.TrimSpace(text)
		}
	}
	for code, text := range sections {
		assert.Greater(t, len(text), 60, "the section of %s explains nothing", code)
	}
	assert.Equal(t, slices.Sorted(maps.Keys(codes)), slices.Sorted(maps.Keys(sections)), "docs/troubleshooting.md has a section ### `code` for each code of a problem, and no other")
}

// problemCodes returns the codes of all problems in the code, with their places: in
// literals of Problem, assignments to the code of one, and constants of trust.Kind.
func problemCodes(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	for _, code := range computedCodes() {
		found[code] = "computed"
	}
	for _, dir := range packageDirs(t, "../agent", "../cmd") {
		files, constants := parsePackage(t, dir)
		for _, file := range files {
			ast.Inspect(file, func(node ast.Node) bool {
				for _, expr := range codeExpressions(node) {
					if code := constantText(expr, constants); code != "" {
						found[code] = dir
					}
				}
				return true
			})
		}
	}
	return found
}

// codeExpressions returns the expressions of a node that are codes of problems.
func codeExpressions(node ast.Node) []ast.Expr {
	switch n := node.(type) {
	case *ast.CompositeLit:
		for _, element := range n.Elts {
			pair, ok := element.(*ast.KeyValueExpr)
			key := ""
			if ok {
				key = typeName(pair.Key)
			}
			if key == "code" || key == "Code" && (typeName(n.Type) == "Problem" || isElement(n)) {
				return []ast.Expr{pair.Value}
			}
		}
	case *ast.CallExpr:
		if name := typeName(n.Fun); name == "AddError" || name == "AddWarning" {
			return n.Args[:1]
		}
	case *ast.AssignStmt:
		if selector, ok := n.Lhs[0].(*ast.SelectorExpr); ok && selector.Sel.Name == "Code" && typeName(selector.X) == "p" { // a Problem
			return n.Rhs[:1]
		}
	case *ast.ValueSpec:
		if typeName(n.Type) == "Kind" {
			return n.Values
		}
	}
	return nil
}

// isElement reports whether a literal is an element of a list of problems, where its
// type is left out.
func isElement(n *ast.CompositeLit) bool {
	return n.Type == nil && slices.ContainsFunc(n.Elts, func(element ast.Expr) bool {
		pair, ok := element.(*ast.KeyValueExpr)
		return ok && typeName(pair.Key) == "Severity"
	})
}

// typeName returns the last part of a name.
func typeName(expr ast.Expr) string {
	switch e := expr.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.SelectorExpr:
		return e.Sel.Name
	}
	return ""
}

func constantText(expr ast.Expr, constants map[string]string) string {
	switch e := expr.(type) {
	case *ast.BasicLit:
		text, _ := strconv.Unquote(e.Value)
		return text
	case *ast.Ident:
		return constants[e.Name]
	}
	return ""
}

func packageDirs(t *testing.T, roots ...string) []string {
	t.Helper()
	var dirs []string
	for _, root := range roots {
		require.NoError(t, filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
			if err == nil && entry.IsDir() {
				dirs = append(dirs, path)
			}
			return err
		}))
	}
	return dirs
}

// parsePackage returns the files of a directory without tests, and its constants.
func parsePackage(t *testing.T, dir string) ([]*ast.File, map[string]string) {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "*.go"))
	require.NoError(t, err)
	var files []*ast.File
	constants := map[string]string{}
	for _, path := range paths {
		if strings.HasSuffix(path, "_test.go") || strings.HasSuffix(path, ".pb.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		require.NoError(t, err)
		files = append(files, file)
		ast.Inspect(file, func(node ast.Node) bool {
			if spec, ok := node.(*ast.ValueSpec); ok && len(spec.Values) == len(spec.Names) {
				for i, name := range spec.Names {
					if literal, ok := spec.Values[i].(*ast.BasicLit); ok {
						constants[name.Name], _ = strconv.Unquote(literal.Value)
					}
				}
			}
			return true
		})
	}
	return files, constants
}
