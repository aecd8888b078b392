//go:build linux && root

package cluster_test

import (
	"bufio"
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/meshway/meshway/e2e/harness"
	"github.com/meshway/meshway/e2e/kubernetes/cluster"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const victimArgument = "victim"

// leftovers returns the processes, control groups and mounts of a lab, by kind.
func leftovers(lab string) map[string][]string {
	found := map[string][]string{}
	add := func(kind, what string) { found[kind] = append(found[kind], what) }
	commands, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, file := range commands {
		text, _ := os.ReadFile(file) // the process may have exited
		environment, _ := os.ReadFile(filepath.Join(filepath.Dir(file), "environ"))
		if strings.Contains(string(text), lab) || strings.Contains(string(environment), lab) {
			add("process", strings.ReplaceAll(string(text), "\x00", " "))
		}
	}
	// WalkDir does not follow links; groups may be removed concurrently.
	_ = filepath.WalkDir("/sys/fs/cgroup", func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() && entry.Name() == lab {
			add("control group", path)
			return fs.SkipDir
		}
		return nil
	})
	mounts, _ := os.ReadFile("/proc/self/mountinfo")
	for line := range strings.Lines(string(mounts)) {
		if strings.Contains(line, lab) {
			add("mount", line)
		}
	}
	return found
}

// machineState returns the state of the machine that programs of Kubernetes
// would change without the isolation of nodes.
func machineState(t *testing.T) map[string][]string {
	t.Helper()
	found := map[string][]string{}
	for _, pattern := range []string{
		"/var/log/pods*", "/var/log/containers*", "/var/lib/kubelet*", "/var/lib/containerd*", "/var/lib/cni*", "/var/lib/kube*",
		"/run/containerd*", "/run/netns/*", "/run/cni*", "/run/xtables.lock", "/run/cgroup*", "/opt/containerd*", "/opt/cni*", "/etc/cni*",
		"/etc/kubernetes*", "/usr/libexec/kubernetes*", "/sys/class/net/*",
	} {
		matches, err := filepath.Glob(pattern)
		require.NoError(t, err)
		found[pattern] = matches
	}
	rules, err := exec.CommandContext(t.Context(), "nft", "list", "ruleset").Output()
	require.NoError(t, err)
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	require.NoError(t, err)
	found["nft"], found["mounts"] = []string{string(rules)}, []string{string(mounts)}
	return found
}

func TestCloseRemovesEverythingFromTheMachine(t *testing.T) {
	before := machineState(t)
	base := t.TempDir()
	lab, err := cluster.NewLab(t.Context(), base, t.Output())
	require.NoError(t, err)
	id := filepath.Base(lab.Dir())
	deploy(t, newCluster(t, lab, cluster.Numbered(0)))
	assert.NotEmpty(t, leftovers(id), "a running lab has processes and groups")

	require.NoError(t, lab.Close())
	assert.Empty(t, leftovers(id))
	assert.NoDirExists(t, lab.Dir())
	assert.Equal(t, before, machineState(t))
}

// runVictim starts a cluster below the directory of the environment variable
// VICTIM_BASE, prints the lab's name, and blocks until the test kills this
// program.
func runVictim() int {
	lab, err := cluster.NewLab(context.Background(), os.Getenv("VICTIM_BASE"), nil)
	if err == nil {
		options := cluster.Numbered(0)
		options.Nodes = 1
		_, err = lab.New(context.Background(), options)
	}
	if err != nil {
		fmt.Fprintln(os.Stdout, "error:", err)
		return 1
	}
	fmt.Fprintln(os.Stdout, filepath.Base(lab.Dir()))
	select {}
}

func TestKillingTheProgramEndsAllProcessesOfItsLab(t *testing.T) {
	self, err := os.Executable()
	require.NoError(t, err)
	base := t.TempDir()
	cmd := exec.CommandContext(t.Context(), self, victimArgument)
	cmd.Env = append(os.Environ(), "VICTIM_BASE="+base)
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	line, err := bufio.NewReader(stdout).ReadString('\n')
	require.NoError(t, err)
	id := strings.TrimSpace(line)
	require.Contains(t, id, "meshway-lab-")
	require.Contains(t, leftovers(id), "process")

	require.NoError(t, cmd.Process.Kill())
	require.Error(t, cmd.Wait())
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	require.NoError(t, harness.Wait(ctx, "no process is left", func(context.Context) error {
		if processes := leftovers(id)["process"]; len(processes) > 0 {
			return fmt.Errorf("%d processes: %s", len(processes), processes[0])
		}
		return nil
	}))

	// The next lab removes the directory and the control groups.
	lab, err := cluster.NewLab(t.Context(), base, t.Output())
	require.NoError(t, err)
	defer func() { assert.NoError(t, lab.Close()) }()
	assert.Empty(t, leftovers(id))
	assert.NoDirExists(t, filepath.Join(base, id))
}
