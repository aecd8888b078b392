package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// rowsOf returns the rows of the table with a header in a document, by their first cell.
func rowsOf(t *testing.T, document, header string) map[string]string {
	t.Helper()
	_, table, found := strings.Cut(document, header)
	require.True(t, found, "the table %q", header)
	rows := map[string]string{}
	for i, line := range strings.Split(strings.TrimSpace(table), "\n") {
		if !strings.HasPrefix(line, "|") {
			break
		}
		if i > 0 { // the line below the header
			name, rest, _ := strings.Cut(strings.TrimPrefix(line, "|"), "|")
			rows[strings.TrimSpace(name)] = rest
		}
	}
	require.NotEmpty(t, rows)
	return rows
}

// What the threat model promises is what tests prove.
func TestEachRowOfTheThreatModelNamesTestsThatExist(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, "agent/control/DESIGN.md"))
	require.NoError(t, err)
	claims := rowsOf(t, string(text), "| compromised | can | cannot |")
	proofs := rowsOf(t, string(text), "| compromised | proved by |")
	named := regexp.MustCompile("`([a-z0-9/]+)\\.(Test[A-Za-z0-9]+)`")
	for part := range claims {
		assert.GreaterOrEqual(t, len(named.FindAllString(proofs[part], -1)), 2, "tests that prove what a compromised %s can and cannot do", part)
	}
	for part, proof := range proofs {
		assert.Contains(t, claims, part, "a row without claims")
		for _, cell := range strings.Split(strings.Trim(proof, " |"), ", ") {
			assert.Regexp(t, "^"+named.String()+"$", cell)
		}
		for _, test := range named.FindAllStringSubmatch(proof, -1) {
			assert.True(t, declares(t, test[1], test[2]), "%s has no %s, which proves what a compromised %s can do", test[1], test[2], part)
		}
	}
}

// declares reports whether the tests of a directory have a function.
func declares(t *testing.T, directory, function string) bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(root, directory, "*_test.go"))
	require.NoError(t, err)
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		if strings.Contains(string(text), "\nfunc "+function+"(t *testing.T)") {
			return true
		}
	}
	return false
}
