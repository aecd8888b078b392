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

// TestCodeFitsItsBudgets checks the sizes of files, functions, structs, interfaces and
// packages. What exceeds them is split by noun. An embedded interface of this module
// counts with its methods.
func TestCodeFitsItsBudgets(t *testing.T) {
	packages := make(map[string]int)
	interfaces := interfaces{}
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
		interfaces.add(strings.TrimPrefix(filepath.ToSlash(filepath.Dir(path)), root+"/"), file)
		for _, e := range excesses(fset, file, test) {
			assert.LessOrEqual(t, e.size, e.limit, "%s: size of %s", fset.Position(e.at), e.name)
		}
		return nil
	})
	require.NoError(t, err)
	for name, lines := range packages {
		assert.LessOrEqual(t, lines, maxPackageLines, "lines of package %s", name)
	}
	for name := range interfaces {
		if isForTests(name[:strings.LastIndex(name, ".")]) {
			continue // a fake world has the methods of all that it replaces
		}
		assert.LessOrEqual(t, interfaces.methods(name), maxMethods, "methods of interface %s", name)
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
			if typ, ok := n.Type.(*ast.StructType); ok {
				add(n.Pos(), n.Name.Name, count(typ.Fields), maxFields)
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

// interfaces are the methods of the interfaces of the module, each by folder and name.
// An embedded interface is the name of another one, with a dot at its beginning.
type interfaces map[string][]string

// add adds the interfaces of a file in a folder.
func (i interfaces) add(folder string, file *ast.File) {
	imports := map[string]string{}
	for _, spec := range file.Imports {
		path := strings.TrimPrefix(strings.Trim(spec.Path.Value, `"`), module)
		name := filepath.Base(path)
		if spec.Name != nil {
			name = spec.Name.Name
		}
		imports[name] = path
	}
	ast.Inspect(file, func(node ast.Node) bool {
		spec, ok := node.(*ast.TypeSpec)
		if !ok {
			return true
		}
		typ, ok := spec.Type.(*ast.InterfaceType)
		if !ok {
			return true
		}
		methods := []string{}
		for _, field := range typ.Methods.List {
			for _, name := range field.Names {
				methods = append(methods, name.Name)
			}
			switch embedded := field.Type.(type) {
			case *ast.Ident:
				methods = append(methods, "."+folder+"."+embedded.Name)
			case *ast.SelectorExpr:
				if from, ok := embedded.X.(*ast.Ident); ok {
					methods = append(methods, "."+imports[from.Name]+"."+embedded.Sel.Name)
				}
			}
		}
		i[folder+"."+spec.Name.Name] = methods
		return true
	})
}

// methods returns the number of methods of an interface. One of another module is one.
func (i interfaces) methods(name string) int {
	methods, ok := i[name]
	if !ok {
		return 1
	}
	n := 0
	for _, method := range methods {
		if embedded, ok := strings.CutPrefix(method, "."); ok {
			n += i.methods(embedded)
		} else {
			n++
		}
	}
	return n
}

func TestMethodsOfEmbeddedInterfacesCount(t *testing.T) {
	found := interfaces{}
	for folder, text := range map[string]string{
		"a": `package a; type A interface { B; M(); N() }; type B interface { O(); error }`,
		"b": `package b; import x "github.com/meshway/meshway/a"; type C interface { x.A; P() }`,
	} {
		file, err := parser.ParseFile(token.NewFileSet(), "", text, parser.SkipObjectResolution)
		require.NoError(t, err)
		found.add(folder, file)
	}
	assert.Equal(t, []int{4, 2, 5}, []int{found.methods("a.A"), found.methods("a.B"), found.methods("b.C")})
}
