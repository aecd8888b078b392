package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/agent/status"
	"github.com/meshway/meshway/cmd/meshctl/internal/fault"
	"github.com/meshway/meshway/cmd/meshctl/internal/output"
)

func TestOutputMatchesTheGoldenFiles(t *testing.T) {
	for name, args := range map[string][]string{
		"status-json":       {"status", "-o", "json"},
		"status-yaml":       {"status", "-o", "yaml"},
		"members":           {"members"},
		"members-wide":      {"members", "-o", "wide"},
		"members-json":      {"members", "-o", "json"},
		"routes":            {"routes"},
		"routes-json":       {"routes", "-o", "json"},
		"routes-address":    {"routes", "10.2.0.17"},
		"services":          {"services"},
		"services-json":     {"services", "-o", "json"},
		"services-yaml":     {"services", "-o", "yaml"},
		"events":            {"events"},
		"events-json":       {"events", "-o", "json"},
		"tokens":            {"token", "list"},
		"tokens-json":       {"token", "list", "-o", "json"},
		"peers":             {"raft", "list-peers"},
		"peers-json":        {"raft", "list-peers", "-o", "json"},
		"init-json":         {"init", "--name", "prod", "-o", "json"},
		"token-create-json": {"token", "create", "-o", "json"},
		"allow-json":        {"federation", "allow", "203.0.113.0/24", "-o", "json"},
		"limits":            {"federation", "limits"},
		"limits-json":       {"federation", "limits", "--services", "15000", "-o", "json"},
		"register-json":     {"service", "register", "web", "--address", "10.1.0.5", "--port", "80", "-o", "json"},
		"transfer-yaml":     {"raft", "transfer-leader", "-o", "yaml"},
		"removal":           {"datacenter", "remove", "west", "--yes"},
		"removal-json":      {"datacenter", "remove", "west", "--yes", "-o", "json"},
		"trust":             {"trust", "show"},
		"trust-json":        {"trust", "show", "-o", "json"},
		"trust-accept":      {"trust", "accept", "west", "--fingerprint", strings.Repeat("5f", 32)},
		"trust-accept-json": {"trust", "accept", "west", "--fingerprint", strings.Repeat("5f", 32), "-o", "json"},
		"removal-help":      {"datacenter", "remove", "--help"},
		"join-json":         {"join", "-o", "json", "token"},
		"exit-codes":        {"help", "exit-codes"},
	} {
		t.Run(name, func(t *testing.T) {
			r := meshctl(t, &fakeMeshd{snapshot: healthy(), report: routesReport(), services: services(), exports: exports(), steps: joinSteps()}, args...)
			require.Equal(t, fault.ExitOK, r.code, r.err)
			golden(t, name, r.out)
		})
	}
}

func TestMembersNameAWitness(t *testing.T) {
	r := meshctl(t, &fakeMeshd{snapshot: withWitness()}, "members")
	assert.Regexp(t, `(?m)^north .* \(witness\)$`, r.out)
	assert.NotRegexp(t, `(?m)^west .* \(witness\)$`, r.out)
	r = meshctl(t, &fakeMeshd{snapshot: withWitness()}, "members", "-o", "json")
	assert.Contains(t, r.out, `"witness": true`)
}

func TestStatusMatchesTheGoldenFiles(t *testing.T) {
	for name, test := range map[string]struct {
		snapshot status.Snapshot
		format   string
		code     int
	}{
		"status-healthy":    {healthy(), "table", fault.ExitOK},
		"status-witness":    {withWitness(), "table", fault.ExitOK},
		"status-node":       {onNode(), "table", fault.ExitOK},
		"status-problems":   {withProblems(), "table", fault.ExitProblems},
		"status-standalone": {standalone(), "table", fault.ExitOK},
		"status-wide":       {withProblems(), "wide", fault.ExitProblems},
		"status-dataplane":  {failingDataplane(), "table", fault.ExitProblems},
	} {
		t.Run(name, func(t *testing.T) {
			r := meshctl(t, &fakeMeshd{snapshot: test.snapshot}, "status", "-o", test.format)
			assert.Equal(t, test.code, r.code)
			assert.Empty(t, r.err)
			golden(t, name, r.out)
		})
	}
}

func TestStructuredOutputIsTheOnlyOutput(t *testing.T) {
	for _, args := range [][]string{
		{"status"},
		{"members"},
		{"routes"},
		{"routes", "10.2.0.17"},
		{"services"},
		{"services", "--read", "stale"},
		{"token", "list"},
		{"token", "create"},
		{"token", "revoke", "x"},
		{"raft", "list-peers"},
		{"raft", "remove-peer", "x", "--yes"},
		{"init"},
		{"join", "token"},
		{"leave", "--yes"},
		{"datacenter", "remove", "west", "--yes"},
		{"version"},
		{"service", "deregister", "web"},
	} {
		o := &fakeMeshd{snapshot: healthy(), report: routesReport(), services: services(), exports: exports(), steps: joinSteps(), removed: 1}
		r := meshctl(t, o, append(args, "-o", "json")...)
		assert.Equal(t, fault.ExitOK, r.code, args)
		assert.True(t, json.Valid([]byte(r.out)), "%v: %s", args, r.out)
		assert.Empty(t, r.err, args)
	}
}

func TestEmptyListIsEmptyInJSONAndASentenceInATable(t *testing.T) {
	assert.Contains(t, meshctl(t, &fakeMeshd{}, "services", "-o", "json").out, `"services": []`)
	r := meshctl(t, &fakeMeshd{}, "services")
	assert.Empty(t, r.out)
	assert.Equal(t, "no services\n", r.err)
}

func TestUnknownFieldsOfANewerMeshdSurvive(t *testing.T) {
	a := newApp(func(string) string { return "" }, nil, new(strings.Builder), nil)
	a.options.output = output.JSON
	require.NoError(t, a.printJSON([]byte(`{"later":18446744073709551615,"at":"<now>"}`)))
	assert.Equal(t, "{\n  \"later\": 18446744073709551615,\n  \"at\": \"<now>\"\n}\n", a.out.(*strings.Builder).String())
}

func TestNoEscapeSequencesWhenNotATerminal(t *testing.T) {
	for _, args := range [][]string{{"status"}, {"routes"}, {"token", "list"}, {"raft", "list-peers"}, {"join", "token"}, {"bogus"}, {"init"}} {
		r := meshctl(t, &fakeMeshd{snapshot: withProblems(), report: routesReport(), steps: joinSteps()}, args...)
		assert.NotContains(t, r.out+r.err, "\x1b", args)
	}
}

func TestColourCanBeForced(t *testing.T) {
	r := meshctl(t, &fakeMeshd{snapshot: withProblems()}, "status", "--color", "always")
	assert.Contains(t, r.out, "\x1b[31m")
}

func TestReceivedTextCannotControlTheTerminal(t *testing.T) {
	snapshot := withProblems()
	snapshot.Problems[0].Message = "\x1b[2Jgone"
	snapshot.Problems[0].Remedy = "a\x07b"
	snapshot.Datacenters[1].Gateways[0].Endpoint = "\x1b]0;title\x07"
	snapshot.Federation.Name = "\x1b[1m"
	snapshot.Self.Overlay = "\x1b[1m"
	r := meshctl(t, &fakeMeshd{snapshot: snapshot}, "status")
	assert.NotContains(t, r.out, "\x1b")
	assert.NotContains(t, r.out, "\x07")
}
