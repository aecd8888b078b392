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

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// plainEnglish returns phrases that comments and texts do not use, each with what to
// write instead. Code does not speak or want; a sentence names its subject.
func plainEnglish() map[string]string {
	phrases := map[string]string{}
	for instead, list := range map[string]string{
		`reports, returns, contains or requires`: `tell,tells,told,telling,say,says,said,hear,hears,heard,ask,asks,asked,asking,` +
			`knows,knew,wants,wanted,complain,complains,complained,complaint,complaints,worry,worries,worried`,
		`the role: caller, peer, gateway, user`: `who,whom,whoever,nobody,somebody,anybody,everybody`,
		`even if`:                               `be it that`,
		`because there is no`:                   `for want of`,
		`no longer`:                             `any more,anymore`,
		`permanently or indefinitely`:           `for ever,for good`,
		`again, or recreates`:                   `anew`,
		`at a bounded rate`:                     `at a pace`,
		`fails, and what it leaves undone`:      `in vain`,
		`what differs`:                          `as it should`,
		`routes to, points to or causes`:        `lead to,leads to`,
		`manually`:                              `by hand`,
		`fixes or repairs`:                      `mend,mends,mended`,
		`must or is to`:                         `shall`,
	} {
		for phrase := range strings.SplitSeq(list, ",") {
			phrases[phrase] = instead
		}
	}
	return phrases
}

// longestPhrase is the number of words of the longest phrase in plainEnglish.
const longestPhrase = 3

// eachPhrase calls report for each of the phrases in a text, regardless of case, but
// not for parts of identifiers, quotations and paths.
func eachPhrase(text string, phrases map[string]string, report func(phrase, instead string)) {
	text = strings.ToLower(text)
	isWord := func(i int) bool {
		c := text[i]
		return 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '_'
	}
	isOneOf := func(i int, chars string) bool { return strings.IndexByte(chars, text[i]) >= 0 }
	for begin := range len(text) {
		if !isWord(begin) || begin > 0 && (isWord(begin-1) || isOneOf(begin-1, ".\"`/-")) {
			continue
		}
		end := begin
		for range longestPhrase {
			for end < len(text) && isWord(end) {
				end++
			}
			if instead, ok := phrases[text[begin:end]]; ok && (end == len(text) || !isOneOf(end, "\"`(=/-")) {
				report(text[begin:end], instead)
			}
			if end == len(text) || text[end] != ' ' {
				break
			}
			end++
		}
	}
}

func TestPhrasesAreFoundInTextOnly(t *testing.T) {
	phrases := plainEnglish()
	for text, want := range map[string][]string{
		"it tells the peer":               {"tells"},
		"Nobody knows":                    {"nobody", "knows"},
		"told":                            {"told"},
		"repairs it by hand, for want of": {"by hand", "for want of"},
		"retold, x.says, says(), a/says, `says`, \"says\", says-so, as-told": nil,
		"it is no longer used": nil,
		"":                     nil,
	} {
		var found []string
		eachPhrase(text, phrases, func(phrase, _ string) { found = append(found, phrase) })
		assert.Equal(t, want, found, text)
	}
	for phrase := range phrases {
		assert.LessOrEqual(t, len(strings.Fields(phrase)), longestPhrase, phrase)
	}
}

// TestTextsArePlainEnglish holds what can be held of the style: comments and
// strings of Go files, and the texts that users read.
func TestTextsArePlainEnglish(t *testing.T) {
	phrases := plainEnglish()
	check := func(path string, line int, text string) {
		eachPhrase(text, phrases, func(phrase, instead string) {
			t.Errorf("%s:%d: %q: write %s instead: %s", path, line, phrase, instead, strings.TrimSpace(text))
		})
	}
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && path != root && strings.HasPrefix(entry.Name(), ".") && entry.Name() != ".ci" && entry.Name() != ".github",
			entry.IsDir() && entry.Name() == "v0.1.0": // manifests of another project
			return fs.SkipDir
		case entry.IsDir(), filepath.Base(path) == "english_test.go":
			return nil
		case strings.HasSuffix(path, ".go") && !strings.HasSuffix(path, ".pb.go") && !strings.HasSuffix(path, ".connect.go"):
			return eachGoText(path, phrases, check)
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
	folder := strings.TrimPrefix(filepath.ToSlash(filepath.Dir(path)), root+"/")
	switch folder {
	case ".ci", "deploy/package", "deploy/systemd":
		return true // scripts and units
	}
	return slices.Contains([]string{"Makefile", "NOTES.txt", "values.schema.json"}, filepath.Base(path))
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
// several words, unless the file contains none of the phrases.
func eachGoText(path string, phrases map[string]string, check func(path string, line int, text string)) error {
	source, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	found := false // also in code
	eachPhrase(string(source), phrases, func(string, string) { found = true })
	if !found {
		return nil // parsing takes much longer
	}
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, path, source, parser.ParseComments|parser.SkipObjectResolution)
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
