//go:build linux && root

package harness_test

import (
	"context"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/meshway/meshway/e2e/harness"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestMain(m *testing.M) {
	harness.Main()
	if len(os.Args) == 2 && os.Args[1] == victimArgument {
		os.Exit(runVictim())
	}
	os.Exit(m.Run())
}

func newLab(t *testing.T) *harness.Lab {
	t.Helper()
	lab, err := harness.NewLab(t.TempDir(), nil)
	require.NoError(t, err, "this test needs root")
	t.Cleanup(func() { assert.NoError(t, lab.Close()) })
	return lab
}

func TestHostIsIsolatedFromTheMachine(t *testing.T) {
	host, err := newLab(t).Host(t.Context(), "alone")
	require.NoError(t, err)

	name, err := host.Exec(t.Context(), "hostname")
	require.NoError(t, err)
	assert.Equal(t, "alone\n", name)

	processes, err := host.Exec(t.Context(), "ps", "-e", "-o", "comm=")
	require.NoError(t, err)
	assert.Len(t, strings.Fields(processes), 2, "the first process and ps")

	links, err := host.Exec(t.Context(), "ip", "-br", "link")
	require.NoError(t, err)
	assert.Equal(t, 1, strings.Count(links, "\n"), "only lo: %s", links)

	require.NoError(t, host.WriteFile("/run/a/b", []byte("mine"), 0o600))
	assert.NoFileExists(t, "/run/a/b")
	content, err := host.ReadFile("/run/a/b")
	require.NoError(t, err)
	assert.Equal(t, "mine", string(content))
}

func TestExecReturnsOutputAndExitCode(t *testing.T) {
	host, err := newLab(t).Host(t.Context(), "h")
	require.NoError(t, err)
	out, err := host.Exec(t.Context(), "sh", "-c", "echo out; echo err >&2; exit 7")
	require.ErrorContains(t, err, "err")
	assert.Equal(t, "out\nerr\n", out)
	assert.Equal(t, 7, harness.ExitCode(err))
}

func TestOrphansAreReaped(t *testing.T) {
	host, err := newLab(t).Host(t.Context(), "h")
	require.NoError(t, err)
	_, err = host.Exec(t.Context(), "sh", "-c", "(sh -c 'exit 3' & exec sleep 0.1) >/dev/null 2>&1 &")
	require.NoError(t, err)
	require.NoError(t, harness.Wait(timeout(t), "no process is left", func(ctx context.Context) error {
		out, err := host.Exec(ctx, "ps", "-e", "-o", "stat=,comm=")
		if err == nil && strings.Count(out, "\n") != 2 {
			err = assert.AnError
		}
		return err
	}))
}

func TestProcessesEndWithTheirHost(t *testing.T) {
	host, err := newLab(t).Host(t.Context(), "h")
	require.NoError(t, err)
	process, err := host.Start("sleeper", "sleep", "1000")
	require.NoError(t, err)
	require.NoError(t, host.Close())
	select {
	case <-process.Done():
	case <-timeout(t).Done():
		t.Fatal("the process survived its host")
	}
}

func TestTerminateWaitsForAnOrderlyExit(t *testing.T) {
	host, err := newLab(t).Host(t.Context(), "h")
	require.NoError(t, err)
	process, err := host.Start("sh", "sh", "-c", "trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 0.05; done")
	require.NoError(t, err)
	require.NoError(t, harness.Wait(timeout(t), "the shell runs", func(context.Context) error {
		if !strings.Contains(process.Log(), "up") {
			return assert.AnError
		}
		return nil
	}))
	require.NoError(t, process.Terminate(timeout(t)))
	assert.Equal(t, "up\nbye\n", process.Log())
}

func TestWorkloadsReachOnlyTheirOwnDatacenter(t *testing.T) {
	topology, err := harness.NewTopology(t.Context(), newLab(t), "east", "west")
	require.NoError(t, err)
	east, west := topology.Datacenter("east"), topology.Datacenter("west")
	require.NoError(t, east.Gateway.Forward(), "no meshd runs that would enable forwarding")

	for _, address := range []netip.Addr{east.Workloads[1].Pod, east.Workloads[1].Pod6} {
		answer, err := east.Workloads[0].Host.Get(t.Context(), harness.At(address))
		require.NoError(t, err)
		assert.Equal(t, "east-b", answer.Host)
		assert.Contains(t, []netip.Addr{east.Workloads[0].Pod, east.Workloads[0].Pod6}, answer.Source.Addr())
	}
	answer, err := east.Workloads[0].Host.Get(t.Context(), harness.At(east.Workloads[1].Service))
	require.NoError(t, err)
	assert.Equal(t, east.Workloads[0].Pod, answer.Source.Addr())

	brief, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	_, err = east.Workloads[0].Host.Get(brief, harness.At(west.Workloads[0].Pod))
	require.Error(t, err, "only a tunnel may connect the datacenters")
}

func TestCutAndHealTheUnderlay(t *testing.T) {
	topology, err := harness.NewTopology(t.Context(), newLab(t), "east", "west", "north")
	require.NoError(t, err)
	east, west, north := topology.Datacenter("east"), topology.Datacenter("west"), topology.Datacenter("north")
	ping := func(from, to *harness.Datacenter) error {
		_, err := from.Gateway.Exec(t.Context(), "ping", "-c", "1", "-W", "1", to.Underlay.Addr().String())
		return err
	}
	require.NoError(t, ping(east, west))
	require.NoError(t, topology.Cut(t.Context(), east, west))
	require.Error(t, ping(east, west))
	require.NoError(t, ping(east, north))
	require.NoError(t, topology.Isolate(t.Context(), north))
	require.Error(t, ping(east, north))
	require.NoError(t, topology.Heal(t.Context()))
	require.NoError(t, ping(east, west))
	require.NoError(t, ping(east, north))
	require.NoError(t, topology.Renumber(west))
	require.NoError(t, ping(east, west))
}

func TestTrafficCountsLostDatagrams(t *testing.T) {
	topology, err := harness.NewTopology(t.Context(), newLab(t), "east")
	require.NoError(t, err)
	east := topology.Datacenters[0]
	require.NoError(t, east.Gateway.Forward())
	a, b := east.Workloads[0], east.Workloads[1]

	requests := a.Host.Requests(t.Context(), harness.At(b.Pod), 5*time.Millisecond)
	datagrams, err := a.Host.Datagrams(t.Context(), harness.At(b.Service), time.Millisecond)
	require.NoError(t, err)
	answered := func(traffic *harness.Traffic, n int) func(context.Context) error {
		return func(context.Context) error {
			if traffic.Report().Answered < n {
				return assert.AnError
			}
			return nil
		}
	}
	require.NoError(t, harness.Wait(timeout(t), "requests are answered", answered(requests, 20)))
	require.NoError(t, harness.Wait(timeout(t), "datagrams are answered", answered(datagrams, 20)))
	assert.Zero(t, requests.Stop().Lost())

	require.NoError(t, east.Gateway.Drop(t.Context(), netip.PrefixFrom(a.Pod, 32), netip.PrefixFrom(b.Service, 32)))
	before := datagrams.Report().Sent
	require.NoError(t, harness.Wait(timeout(t), "datagrams are sent", func(context.Context) error {
		if datagrams.Report().Sent < before+20 {
			return assert.AnError
		}
		return nil
	}))
	require.NoError(t, east.Gateway.Heal(t.Context()))
	require.NoError(t, harness.Wait(timeout(t), "datagrams are answered again", answered(datagrams, datagrams.Report().Answered+20)))
	report := datagrams.Stop()
	assert.GreaterOrEqual(t, report.Lost(), 20, "%+v", report)
	assert.Less(t, report.Lost(), report.Sent/2+20, "%+v", report)
}

func TestStoppedTrafficHasEveryAnswer(t *testing.T) {
	topology, err := harness.NewTopology(t.Context(), newLab(t), "east")
	require.NoError(t, err)
	east := topology.Datacenters[0]
	require.NoError(t, east.Gateway.Forward())
	a, b := east.Workloads[0], east.Workloads[1]
	for range 100 {
		datagrams, err := a.Host.Datagrams(t.Context(), harness.At(b.Service), 50*time.Microsecond)
		require.NoError(t, err)
		require.NoError(t, harness.Wait(timeout(t), "a datagram is answered", func(context.Context) error {
			if datagrams.Report().Answered == 0 {
				return assert.AnError
			}
			return nil
		}))
		report := datagrams.Stop()
		require.Zero(t, report.Lost(), "%+v", report)
	}
}

const victimArgument = "meshway-harness-victim"

// runVictim starts a host and a process in it, prints "up", and blocks until
// the test kills this program.
func runVictim() int {
	lab, err := harness.NewLab(os.Getenv("VICTIM_DIR"), nil)
	if err != nil {
		return 1
	}
	host, err := lab.Host(context.Background(), "h")
	if err != nil {
		return 1
	}
	if _, err := host.Start("sleeper", "sleep", "1000"); err != nil {
		return 1
	}
	_, _ = os.Stdout.WriteString("up\n")
	select {}
}

func TestSweepRemovesEverythingThatAKilledLabLeaves(t *testing.T) {
	base := t.TempDir()
	self, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), self, victimArgument)
	cmd.Env = append(os.Environ(), "VICTIM_DIR="+base)
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	up := make([]byte, 3)
	_, err = io.ReadFull(stdout, up)
	require.NoError(t, err)

	removed, err := harness.Sweep(base)
	require.NoError(t, err)
	require.Empty(t, removed, "a lab in use is left alone")
	children := childrenOf(t, cmd.Process.Pid)
	require.NotEmpty(t, children)

	require.NoError(t, cmd.Process.Kill())
	_ = cmd.Wait()
	for _, pid := range children {
		require.NoError(t, harness.Wait(timeout(t), "process "+pid+" is gone", func(context.Context) error {
			stat, err := os.ReadFile(filepath.Join("/proc", pid, "stat"))
			if err == nil && !strings.Contains(string(stat), ") Z ") {
				return assert.AnError
			}
			return nil
		}))
	}
	removed, err = harness.Sweep(base)
	require.NoError(t, err)
	assert.Len(t, removed, 1)
	left, err := os.ReadDir(base)
	require.NoError(t, err)
	assert.Empty(t, left)
}

// childrenOf returns the children of a process: the first processes of the
// hosts and the processes that were started in them.
func childrenOf(t *testing.T, pid int) []string {
	t.Helper()
	var children []string
	tasks, err := filepath.Glob(filepath.Join("/proc", strconv.Itoa(pid), "task", "*", "children"))
	require.NoError(t, err)
	for _, task := range tasks {
		text, err := os.ReadFile(task)
		require.NoError(t, err)
		children = append(children, strings.Fields(string(text))...)
	}
	return children
}

func timeout(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	t.Cleanup(cancel)
	return ctx
}
