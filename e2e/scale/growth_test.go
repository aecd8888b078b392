//go:build linux

package main

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestCostsGrowAtMostLinearly counts statements instead of time, which depends on the
// machine: twice as much may cost 2.3 times as much, for what is sorted.
func TestCostsGrowAtMostLinearly(t *testing.T) {
	program := operations(t)
	for operation, limit := range map[string]float64{
		"plan: prefixes":                2.3,
		"plan: datacenters up":          2.3,
		"plan: datacenters down":        2.3,
		"plan: one datacenter":          2.3,
		"plan: verdict":                 2.3,
		"status: prefixes":              2.3,
		"status: datacenters":           2.3,
		"routes: all":                   2.3,
		"routes: unchanged":             2.3,
		"tunnels: all":                  2.3,
		"interference: prefixes":        2.3,
		"interference: datacenters":     2.3,
		"routes report: prefixes":       2.3,
		"routes report: datacenters":    2.3,
		"applier: all":                  2.3,
		"applier: unchanged":            2.3,
		"applier: one route":            2.3,
		"verdict: prefixes":             1.1, // only gateways count
		"activity: datacenters":         2.3,
		"verify: datacenters":           2.3,
		"registrar: own services":       2.3,
		"registrar: services of others": 1.1, // what others register costs nothing
	} {
		t.Run(operation, func(t *testing.T) {
			once, twice := statements(t, program, operation, 1), statements(t, program, operation, 2)
			t.Logf("%.0f and %.0f statements: %.2f", once, twice, twice/once)
			assert.Greater(t, once, 100.0, "the counters are those of the operation")
			assert.LessOrEqual(t, twice/once, limit)
		})
	}
}

// TestPlanAfterOneChangeCostsAPartOfAWholePlan counts the same.
func TestPlanAfterOneChangeCostsAPartOfAWholePlan(t *testing.T) {
	program := operations(t)
	whole := statements(t, program, "plan: prefixes", 1)
	for change, limit := range map[string]float64{
		"plan: one datacenter": 0.8, // the lists of all prefixes are merged again; of the time it is a half
		"plan: verdict":        0.35,
	} {
		part := statements(t, program, change, 1)
		t.Logf("%s: %.0f of %.0f statements: %.2f", change, part, whole, part/whole)
		assert.LessOrEqual(t, part/whole, limit, change)
	}
}

// operations builds the program whose statements are counted.
func operations(t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "operations")
	const module = "github.com/meshway/meshway/"
	build := exec.CommandContext(t.Context(), "go", "build", "-cover", "-covermode=atomic", "-coverpkg="+module+"agent/...,"+module+"consensus/catalog/...,"+module+"routes,"+module+"tunnel,"+module+"e2e/scale/operations",
		"-o", program, "./operations")
	out, err := build.CombinedOutput()
	require.NoError(t, err, string(out))
	return program
}

// statements returns how many statements an operation executes.
func statements(t *testing.T, program, operation string, factor int) float64 {
	t.Helper()
	dir := t.TempDir()
	run := exec.CommandContext(t.Context(), program, operation, strconv.Itoa(factor), dir)
	run.Env = append(os.Environ(), "GOCOVERDIR="+t.TempDir()) // what is written at the end is not read
	out, err := run.CombinedOutput()
	require.NoError(t, err, string(out))
	text := filepath.Join(dir, "profile")
	out, err = exec.CommandContext(t.Context(), "go", "tool", "covdata", "textfmt", "-i="+dir, "-o="+text).CombinedOutput()
	require.NoError(t, err, string(out))
	file, err := os.Open(text)
	require.NoError(t, err)
	defer file.Close()
	sum := 0.0
	for lines := bufio.NewScanner(file); lines.Scan(); {
		// FILE:BEGIN,END STATEMENTS COUNT
		fields := strings.Fields(lines.Text())
		if len(fields) != 3 {
			continue // the first line
		}
		number, err := strconv.ParseFloat(fields[1], 64)
		require.NoError(t, err)
		count, err := strconv.ParseFloat(fields[2], 64)
		require.NoError(t, err)
		sum += number * count
	}
	return sum
}
