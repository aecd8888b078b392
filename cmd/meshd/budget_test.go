package main

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The budgets of code that a reader takes in at once.
const (
	maxFileLines     = 400
	maxFunctionLines = 60 // of product code: a test is a table
	maxFields        = 15
	maxMethods       = 5
	maxPackageLines  = 2500 // of product code
)

// largePackages returns the packages that exceed maxPackageLines, each with its own
// limit and the reason.
func largePackages() map[string]int {
	return map[string]int{
		"consensus/catalog": 2520, // the fields of all records, with their conversion
	}
}

// TestCodeFitsItsBudgets checks the sizes of files, functions, structs, interfaces and
// packages. What exceeds them is split by noun, or is an exception with a reason.
func TestCodeFitsItsBudgets(t *testing.T) {
	packages := make(map[string]int)
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && path != root && strings.HasPrefix(entry.Name(), ".") {
			return fs.SkipDir
		}
		generated := strings.HasSuffix(path, ".pb.go") || strings.HasSuffix(path, ".connect.go")
		if entry.IsDir() || generated || !strings.HasSuffix(path, ".go") {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		lines := bytes.Count(text, []byte("\n"))
		assert.LessOrEqual(t, lines, maxFileLines, "lines of %s", path)
		test := strings.HasSuffix(path, "_test.go")
		if !test {
			packages[strings.TrimPrefix(filepath.ToSlash(filepath.Dir(path)), root+"/")] += lines
		}
		fset := token.NewFileSet()
		file, err := parser.ParseFile(fset, path, text, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		for _, e := range excesses(fset, file, test) {
			assert.LessOrEqual(t, e.size, e.limit, "%s: size of %s", fset.Position(e.at), e.name)
		}
		return nil
	})
	require.NoError(t, err)
	for name, lines := range packages {
		assert.LessOrEqual(t, lines, max(maxPackageLines, largePackages()[name]), "lines of package %s", name)
	}
	for name := range largePackages() {
		assert.Greater(t, packages[name], maxPackageLines, "package %s needs no exception", name)
	}
}

type excess struct {
	at          token.Pos
	name        string
	size, limit int
}

// excesses returns the functions, structs and interfaces of a file that exceed a
// budget.
func excesses(fset *token.FileSet, file *ast.File, test bool) []excess {
	var found []excess
	add := func(at token.Pos, name string, size, limit int) {
		if size > limit {
			found = append(found, excess{at, name, size, limit})
		}
	}
	ast.Inspect(file, func(node ast.Node) bool {
		switch n := node.(type) {
		case *ast.FuncDecl:
			if !test && n.Body != nil {
				add(n.Pos(), n.Name.Name, fset.Position(n.Body.Rbrace).Line-fset.Position(n.Pos()).Line+1, maxFunctionLines)
			}
		case *ast.TypeSpec:
			switch typ := n.Type.(type) {
			case *ast.StructType:
				add(n.Pos(), n.Name.Name, count(typ.Fields), maxFields)
			case *ast.InterfaceType:
				add(n.Pos(), n.Name.Name, count(typ.Methods), maxMethods)
			}
		}
		return true
	})
	return found
}

// count returns the number of names in a list; an embedded type is one.
func count(list *ast.FieldList) int {
	n := 0
	for _, field := range list.List {
		n += max(1, len(field.Names))
	}
	return n
}
