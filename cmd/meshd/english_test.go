package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// plainEnglish lists words that comments and texts do not use, each with what to
// write instead. Code does not speak or want; a sentence names its subject.
func plainEnglish() map[string]*regexp.Regexp {
	words := map[string]string{
		`reports, returns, contains or requires`: `tells?|told|telling|says?|said|hears?|heard|asks?|asked|asking|knows|knew|wants|wanted|complain(s|ed|ts?)?|worr(y|ies|ied)`,
		`the role: caller, peer, gateway, user`:  `who|whom|whoever|nobody|somebody|anybody|everybody`,
		`even if`:                                `be it that`,
		`because there is no`:                    `for want of`,
		`no longer`:                              `any ?more`,
		`permanently or indefinitely`:            `for ever|for good`,
		`again, or recreates`:                    `anew`,
		`at a bounded rate`:                      `at a pace`,
		`fails, and what it leaves undone`:       `in vain`,
		`what differs`:                           `(not )?as it should( be)?`,
		`routes to, points to or causes`:         `leads? to`,
		`manually`:                               `by hand`,
		`fixes or repairs`:                       `mend(s|ed)?`,
		`must or is to`:                          `shall`,
	}
	compiled := map[string]*regexp.Regexp{}
	for instead, pattern := range words {
		compiled[instead] = regexp.MustCompile(`(?i)(^|[^\w."` + "`" + `/-])(` + pattern + `)($|[^\w"` + "`" + `(=/-])`)
	}
	return compiled
}

// TestTextsArePlainEnglish holds what can be held of the style: comments and
// strings of Go files, and the texts that users read.
func TestTextsArePlainEnglish(t *testing.T) {
	words := plainEnglish()
	check := func(path string, line int, text string) {
		for instead, pattern := range words {
			if found := pattern.FindStringSubmatch(text); found != nil {
				t.Errorf("%s:%d: %q: write %s instead: %s", path, line, found[2], instead, strings.TrimSpace(text))
			}
		}
	}
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && path != root && strings.HasPrefix(entry.Name(), ".") && entry.Name() != ".ci",
			entry.IsDir() && entry.Name() == "v0.1.0": // manifests of another project
			return fs.SkipDir
		case entry.IsDir(), filepath.Base(path) == "english_test.go":
			return nil
		case strings.HasSuffix(path, ".go") && !strings.HasSuffix(path, ".pb.go") && !strings.HasSuffix(path, ".connect.go"):
			return eachGoText(path, check)
		case isProse(path):
			return eachLine(path, check)
		}
		return nil
	})
	require.NoError(t, err)
}

// isProse reports whether people read a file as text. CRDs of other projects are
// excluded.
func isProse(path string) bool {
	if strings.Contains(path, "/crds/") && !strings.Contains(path, "meshway.io") {
		return false
	}
	switch filepath.Ext(path) {
	case ".md", ".yaml", ".yml", ".tpl", ".golden", ".proto":
		return true
	}
	return filepath.Base(path) == "Makefile" || filepath.Base(path) == "NOTES.txt"
}

func eachLine(path string, check func(path string, line int, text string)) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	for i, line := range strings.Split(string(text), "\n") {
		if _, comment, ok := strings.Cut(line, "//"); ok && filepath.Ext(path) == ".proto" {
			line = comment
		}
		check(path, i+1, line)
	}
	return nil
}

// eachGoText calls check for each line of a comment, and of a string that has
// several words.
func eachGoText(path string, check func(path string, line int, text string)) error {
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, path, nil, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	lines := func(pos token.Pos, text string) {
		for i, line := range strings.Split(text, "\n") {
			check(path, fset.Position(pos).Line+i, line)
		}
	}
	for _, group := range file.Comments {
		for _, comment := range group.List {
			lines(comment.Pos(), comment.Text)
		}
	}
	ast.Inspect(file, func(node ast.Node) bool {
		if literal, ok := node.(*ast.BasicLit); ok && literal.Kind == token.STRING && strings.Contains(literal.Value, " ") {
			lines(literal.Pos(), literal.Value)
		}
		return true
	})
	return nil
}
