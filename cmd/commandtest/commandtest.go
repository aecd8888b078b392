// Package commandtest checks that the commands named in documentation, charts,
// alerts and messages exist.
package commandtest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Check fails for each command line of a program, in the files of the repository
// at dir, that has an unknown subcommand or flag. It reads string literals in Go
// code outside of tests, and the text of all other files that users see. It returns
// the number of command lines.
func Check(t *testing.T, dir string, program *cobra.Command) int {
	t.Helper()
	count := 0
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		hidden := strings.HasPrefix(entry.Name(), ".") && path != dir
		if entry.IsDir() && (hidden || entry.Name() == "testdata") {
			return fs.SkipDir
		}
		if entry.IsDir() || !visible(dir, path) {
			return nil
		}
		for _, text := range texts(t, path) {
			for _, words := range commandLines(program, text) {
				count++
				assert.Empty(t, unknown(program, words), "%s: %s %s", path, program.Name(), strings.Join(words, " "))
			}
		}
		return nil
	})
	require.NoError(t, err)
	return count
}

// visible reports whether users see the text of a file: Go code with messages,
// documentation, and everything in deploy.
func visible(dir, path string) bool {
	inDeploy := strings.HasPrefix(path, filepath.Join(dir, "deploy")+string(filepath.Separator))
	switch filepath.Ext(path) {
	case ".go":
		return !strings.HasSuffix(path, "_test.go") && !strings.HasSuffix(path, ".pb.go")
	case ".md":
		return true
	}
	return inDeploy || filepath.Base(path) == "reference.yaml"
}

// texts returns the string literals of a Go file, or the whole text of another.
func texts(t *testing.T, path string) []string {
	t.Helper()
	content, err := os.ReadFile(path)
	require.NoError(t, err)
	if filepath.Ext(path) != ".go" {
		return []string{string(content)}
	}
	file, err := parser.ParseFile(token.NewFileSet(), path, content, parser.SkipObjectResolution)
	require.NoError(t, err)
	var literals []string
	ast.Inspect(file, func(node ast.Node) bool {
		if literal, ok := node.(*ast.BasicLit); ok && literal.Kind == token.STRING {
			text, err := strconv.Unquote(literal.Value)
			require.NoError(t, err)
			literals = append(literals, text)
		}
		return true
	})
	return literals
}

// commandLines returns the words after the name of the program in each command
// line of a text. A name in prose, such as "meshd runs", begins a command line only
// if a command follows, or if it is at a place for commands: at the beginning of a
// quotation, of an indented line or of a YAML list, or after a prompt or "run".
func commandLines(program *cobra.Command, text string) [][]string {
	if !strings.Contains(text, program.Name()) {
		return nil // as of most literals; the expression takes long to compile
	}
	place := regexp.MustCompile("(?m)(^[ \t]*#?(?:  |\t)[ \t]*|\\w# +|[$|&-] |\\brun |`|\\[|[^\\w/.-]|^)" +
		program.Name() + `[ ,]+([^\n` + "`" + `;|&()<>\]]+)`)
	var lines [][]string
	for _, match := range place.FindAllStringSubmatch(text, -1) {
		before, words := match[1], split(match[2], match[1] == "[")
		if len(words) == 0 || before == "run " && (words[0] == "as" || words[0] == "on") {
			continue
		}
		if len(before) > 1 || before == "`" || before == "[" || find(program, words[0]) != nil {
			lines = append(lines, words)
		}
	}
	return lines
}

// split returns the words of a command line up to the end of its sentence, or of a
// list in YAML.
func split(line string, list bool) []string {
	if list {
		line = strings.ReplaceAll(line, ",", " ")
	}
	var words []string
	for word := range strings.FieldsSeq(line) {
		if strings.HasPrefix(word, "#") {
			break
		}
		trimmed := strings.TrimRight(word, `.,:'"`)
		if trimmed != "" {
			words = append(words, trimmed)
		}
		if trimmed != word {
			break
		}
	}
	return words
}

// unknown returns the first word that is neither a subcommand nor a flag where
// there must be one, or "".
func unknown(program *cobra.Command, words []string) string {
	command := program
	for i := 0; i < len(words); i++ {
		word := words[i]
		name, _, hasValue := strings.Cut(word, "=")
		switch {
		case word == "-" || word == "--" || name == "--help":
		case strings.HasPrefix(word, "-"):
			flag := flagOf(command, name)
			if flag == nil {
				return word
			}
			if !hasValue && flag.NoOptDefVal == "" {
				i++ // the value
			}
		case command.HasSubCommands():
			if command = find(command, word); command == nil {
				return word
			}
		}
	}
	return ""
}

// flagOf returns the flag of a command, or of one of its parents, or nil.
func flagOf(command *cobra.Command, name string) *pflag.Flag {
	all := pflag.NewFlagSet("", pflag.ContinueOnError)
	all.AddFlagSet(command.LocalFlags())
	all.AddFlagSet(command.InheritedFlags())
	if strings.HasPrefix(name, "--") {
		return all.Lookup(name[2:])
	}
	return all.ShorthandLookup(name[1:2])
}

// find returns the subcommand with a name or an alias, or nil.
func find(parent *cobra.Command, name string) *cobra.Command {
	for _, child := range parent.Commands() {
		if child.Name() == name || child.HasAlias(name) {
			return child
		}
	}
	return nil
}
