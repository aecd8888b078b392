//go:build linux && root

package nft_test

import (
	"encoding/json"
	"flag"
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

	"github.com/meshway/meshway/routes"
	"github.com/meshway/meshway/routes/nft"
	"github.com/meshway/meshway/routes/routestest"
	"github.com/meshway/meshway/routes/ruleset"
	"github.com/meshway/meshway/routes/ruleset/rulesettest"
)

var record = flag.Bool("record", false, "write how nft lists the rules of rulesettest")

// TestRulesOfOtherProgramsAreReadAsTheyAre loads the rules into the kernel.
func TestRulesOfOtherProgramsAreReadAsTheyAre(t *testing.T) {
	for _, c := range rulesettest.Cases() {
		t.Run(c.File, func(t *testing.T) {
			f := newNamespace(t)
			require.NoError(t, f.Apply(t.Context(), routestest.SampleFirewall()))
			addDevices(t)
			load(t, c.File)
			found := readNow(t, f)
			if *record {
				out, err := json.MarshalIndent(found, "", " ")
				require.NoError(t, err)
				require.NoError(t, os.WriteFile(filepath.Join("../ruleset/rulesettest/testdata", c.File+".json"), append(out, '\n'), 0o644))
			}
			for name, packet := range c.Packets() {
				var drops []string
				for _, d := range found.Drops(packet) {
					drops = append(drops, rulesettest.Text(d))
				}
				assert.Equal(t, c.Drops[name], drops, name)
			}
		})
	}
}

func TestAChangeOfOtherProgramsRulesIsRead(t *testing.T) {
	f := newNamespace(t)
	assert.Empty(t, readNow(t, f).Chains)
	load(t, "forward-policy.nft")
	assert.Len(t, readNow(t, f).Chains, 1)
	out, err := exec.Command("nft", "flush", "ruleset").CombinedOutput()
	require.NoError(t, err, string(out))
	assert.Empty(t, readNow(t, f).Chains)
}

// TestRulesOfIptablesLegacyAreReadAgainWhenTheyAppear starts without any: the kernel has
// no generation for them.
func TestRulesOfIptablesLegacyAreReadAgainWhenTheyAppear(t *testing.T) {
	f := newNamespace(t)
	assert.Empty(t, readNow(t, f).Chains)
	load(t, "docker.legacy")
	found := readNow(t, f)
	assert.NotEmpty(t, found.Drops(rulesettest.Packets()["from pods"]))
	assert.Contains(t, found.Names["ip filter of iptables-legacy"], "DOCKER-USER")
	assert.Empty(t, found.Unread)
}

// TestMissingProgramOfIptablesLegacyIsReported hides it; the rules of nftables are read.
func TestMissingProgramOfIptablesLegacyIsReported(t *testing.T) {
	f := newNamespace(t)
	load(t, "docker.legacy")
	load(t, "forward-policy.nft")
	path, err := exec.LookPath("nft")
	require.NoError(t, err)
	dir := t.TempDir()
	require.NoError(t, os.Symlink(path, filepath.Join(dir, "nft")))
	t.Setenv("PATH", dir)
	found := readNow(t, f)
	assert.Contains(t, found.Unread, "iptables-legacy-save")
	assert.Len(t, found.Drops(rulesettest.Packets()["from pods"]), 1)
}

// readNow waits until the current rules have been read.
func readNow(t *testing.T, f *nft.Filter) ruleset.Ruleset {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(30 * time.Second); ; <-tick.C {
		found, err := f.Others(t.Context())
		require.NoError(t, err)
		if !found.Stale {
			return found
		}
		require.True(t, time.Now().Before(end), "the rules are not read")
	}
}

// TestReadingUnchangedRulesRunsNoProgram removes every program from the path.
func TestReadingUnchangedRulesRunsNoProgram(t *testing.T) {
	f := newNamespace(t)
	load(t, "ufw.rules")
	found := readNow(t, f)
	t.Setenv("PATH", t.TempDir())
	again, err := f.Others(t.Context())
	require.NoError(t, err)
	assert.Equal(t, found, again)
}

// TestTableIsWrittenWithoutTheNamesOfProtocols hides /etc/protocols, which images of
// containers do not have.
func TestTableIsWrittenWithoutTheNamesOfProtocols(t *testing.T) {
	f := newNamespace(t)
	require.NoError(t, unix.Unshare(unix.CLONE_NEWNS|unix.CLONE_FS))
	require.NoError(t, unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""))
	require.NoError(t, unix.Mount("/dev/null", "/etc/protocols", "", unix.MS_BIND, ""))
	text, err := exec.Command("cat", "/etc/protocols").Output()
	require.NoError(t, err)
	require.Empty(t, text, "nft cannot read it")
	require.NoError(t, f.Apply(t.Context(), routestest.SampleFirewall()))
	state, err := f.State(t.Context())
	require.NoError(t, err)
	assert.Equal(t, routes.TableIntact, state)
}

// newNamespace moves the test's thread into a network namespace of its own.
func newNamespace(t *testing.T) *nft.Filter {
	t.Helper()
	require.Zero(t, unix.Geteuid(), "this test needs root: it creates network namespaces")
	runtime.LockOSThread() // never unlocked: thread and namespace end with the test
	require.NoError(t, unix.Unshare(unix.CLONE_NEWNET))
	return nft.New()
}

// addDevices adds the devices of rulesettest, to which chains of devices refer.
func addDevices(t *testing.T) {
	t.Helper()
	for _, device := range rulesettest.Devices() {
		out, err := exec.Command("ip", "link", "add", device, "type", "bridge").CombinedOutput()
		require.NoError(t, err, string(out))
	}
}

// load loads rules of rulesettest.
func load(t *testing.T, file string) {
	t.Helper()
	rules, err := rulesettest.Files.ReadFile("testdata/" + file)
	require.NoError(t, err)
	loadIpsets(t, string(rules))
	program := []string{"nft", "-f", "-"}
	switch filepath.Ext(file) {
	case ".rules":
		program = []string{"iptables-nft-restore"}
	case ".legacy":
		program = []string{"iptables-legacy-restore"}
	}
	cmd := exec.Command(program[0], program[1:]...)
	cmd.Stdin = strings.NewReader(string(rules))
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, string(out))
}

// loadIpsets runs the commands of ipset in the first lines.
func loadIpsets(t *testing.T, rules string) {
	t.Helper()
	var commands strings.Builder
	for line := range strings.Lines(rules) {
		if command, ok := strings.CutPrefix(line, "#ipset "); ok {
			commands.WriteString(command)
		}
	}
	if commands.Len() == 0 {
		return
	}
	cmd := exec.Command("ipset", "restore")
	cmd.Stdin = strings.NewReader(commands.String())
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, string(out))
}
