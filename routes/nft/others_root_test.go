//go:build linux && root

package nft_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/meshway/meshway/routes/nft"
	"github.com/meshway/meshway/routes/routestest"
	"github.com/meshway/meshway/routes/ruleset/rulesettest"
)

var record = flag.Bool("record", false, "write how nft lists the rules of rulesettest")

// TestRulesOfOtherProgramsAreReadAsTheyAre loads the rules into the kernel.
func TestRulesOfOtherProgramsAreReadAsTheyAre(t *testing.T) {
	for _, c := range rulesettest.Cases() {
		t.Run(c.File, func(t *testing.T) {
			f := newNamespace(t)
			require.NoError(t, f.Apply(t.Context(), routestest.SampleFirewall()))
			load(t, c.File)
			found, err := f.Others(t.Context())
			require.NoError(t, err)
			if *record {
				out, err := json.MarshalIndent(found, "", " ")
				require.NoError(t, err)
				require.NoError(t, os.WriteFile(filepath.Join("../ruleset/rulesettest/testdata", c.File+".json"), append(out, '\n'), 0o644))
			}
			for name, packet := range rulesettest.Packets() {
				var drops []string
				for _, d := range found.Drops(packet) {
					drops = append(drops, fmt.Sprintf("%v: %s", d.Chain, d.By))
				}
				assert.Equal(t, c.Drops[name], drops, name)
			}
		})
	}
}

func TestAChangeOfOtherProgramsRulesIsRead(t *testing.T) {
	f := newNamespace(t)
	found, err := f.Others(t.Context())
	require.NoError(t, err)
	assert.Empty(t, found.Chains)
	load(t, "forward-policy.nft")
	awaitChains(t, f, 1)
	out, err := exec.Command("nft", "flush", "ruleset").CombinedOutput()
	require.NoError(t, err, string(out))
	awaitChains(t, f, 0)
}

// awaitChains waits until the chains are read: not at once after the last reading.
func awaitChains(t *testing.T, f *nft.Filter, want int) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(10 * time.Second); ; <-tick.C {
		found, err := f.Others(t.Context())
		require.NoError(t, err)
		if len(found.Chains) == want {
			return
		}
		require.True(t, time.Now().Before(end), "%+v", found.Chains)
	}
}

// TestReadingUnchangedRulesRunsNoProgram removes every program from the path.
func TestReadingUnchangedRulesRunsNoProgram(t *testing.T) {
	f := newNamespace(t)
	load(t, "ufw.rules")
	found, err := f.Others(t.Context())
	require.NoError(t, err)
	t.Setenv("PATH", t.TempDir())
	again, err := f.Others(t.Context())
	require.NoError(t, err)
	assert.Equal(t, found, again)
}

// newNamespace moves the test's thread into a network namespace of its own.
func newNamespace(t *testing.T) *nft.Filter {
	t.Helper()
	require.Zero(t, unix.Geteuid(), "this test needs root: it creates network namespaces")
	runtime.LockOSThread() // never unlocked: thread and namespace end with the test
	require.NoError(t, unix.Unshare(unix.CLONE_NEWNET))
	return nft.New()
}

// load loads rules of rulesettest.
func load(t *testing.T, file string) {
	t.Helper()
	rules, err := rulesettest.Files.ReadFile("testdata/" + file)
	require.NoError(t, err)
	program := []string{"nft", "-f", "-"}
	if strings.HasSuffix(file, ".rules") {
		program = []string{"iptables-nft-restore"}
	}
	cmd := exec.Command(program[0], program[1:]...)
	cmd.Stdin = strings.NewReader(string(rules))
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, string(out))
}
