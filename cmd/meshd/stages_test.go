package main

import (
	"os/exec"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestFailedStageDoesNotHideTheLaterOnes holds .ci/stages, which make test and
// .ci/run use.
func TestFailedStageDoesNotHideTheLaterOnes(t *testing.T) {
	for _, tt := range []struct {
		name, stages string
		passes       bool
		output       []string
		absent       string
	}{
		{
			"all pass", `stage one echo first; stage two echo second`, true,
			[]string{"first\n", "second\n", "ok    one", "ok    two", "all 2 passed"},
			"FAIL",
		},
		{
			"the first fails", `stage one false; stage two echo second`, false,
			[]string{"second\n", "FAIL  one", "ok    two", "FAIL: 1 of 2 failed", ": one\n"},
			"",
		},
		{
			"two fail", `stage one false; stage two echo second; stage three false`, false,
			[]string{"second\n", "FAIL  one", "ok    two", "FAIL  three", ": one, three\n"},
			"",
		},
		{
			"the first command of a function fails", `f() { false; echo later; }; stage one f`, false,
			[]string{"FAIL  one"},
			"later",
		},
		{
			"a required stage fails", `stage one true; required two false; stage three echo third`, false,
			[]string{"ok    one", "FAIL  two", ": two\n"},
			"third",
		},
		{
			"a required stage passes after a failed one", `stage one false; required two true; stage three echo third`, false,
			[]string{"FAIL  one", "ok    two", "third\n", ": one\n"},
			"",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			script := "set -euo pipefail; source .ci/stages; " + tt.stages + "; summarize"
			cmd := exec.CommandContext(t.Context(), "bash", "-c", script)
			cmd.Dir = root
			output, err := cmd.CombinedOutput()
			if tt.passes {
				require.NoError(t, err)
			} else {
				require.Error(t, err)
			}
			for _, line := range tt.output {
				assert.Contains(t, string(output), line)
			}
			if tt.absent != "" {
				assert.NotContains(t, string(output), tt.absent)
			}
		})
	}
}
