//go:build linux

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/meshway/meshway/agent/plan/gatewayplan"
	"github.com/meshway/meshway/agent/status"
	"github.com/meshway/meshway/consensus/catalog/catalogpb"
	"github.com/meshway/meshway/consensus/catalog/replica"
	"github.com/meshway/meshway/consensus/consensustest"
	"github.com/meshway/meshway/consensus/raftnode"
	"github.com/meshway/meshway/e2e/benchmark"
	"github.com/meshway/meshway/e2e/scale/workload"
	"github.com/meshway/meshway/routes"
)

// entriesBehind is how many entries the log has after the last snapshot: almost as
// many as cause the next one.
const entriesBehind = 16_000

// member is a gateway that runs alone.
type member struct {
	*raftnode.Node
	stop func() error
}

// start runs a node on a data directory.
func start(ctx context.Context, size workload.Size, dir string, threshold uint64) (*member, error) {
	network, self := consensustest.NewNetwork(), size.Self()
	node, err := raftnode.Open(raftnode.Config{
		ID: self, Dir: dir, SnapshotThreshold: threshold, Network: network.Host(self), Remote: network.Remote(self),
	})
	if err != nil {
		return nil, err
	}
	fresh := node.View().Index() == 0
	if fresh {
		if err := node.Bootstrap(); err != nil {
			return nil, errors.Join(err, node.Close())
		}
	}
	network.Serve(self, node)
	running, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- node.Run(running) }() // stop waits for it
	return &member{Node: node, stop: func() error { cancel(); return <-ended }}, nil
}

// fill writes the whole content of a federation.
func fill(ctx context.Context, m *member, size workload.Size) error {
	if err := propose(ctx, m, size.Init()); err != nil {
		return err
	}
	for _, command := range size.Members() {
		if err := propose(ctx, m, command); err != nil {
			return err
		}
	}
	for batch := range slices.Chunk(size.Content(), 20) {
		if err := propose(ctx, m, batch...); err != nil {
			return err
		}
	}
	return nil
}

func propose(ctx context.Context, m *member, commands ...*catalogpb.Command) error {
	results, err := m.Propose(ctx, commands...)
	if err != nil {
		return err
	}
	for _, r := range results {
		if r.Refusal != nil {
			return r.Refusal
		}
	}
	return nil
}

// awaitSnapshot waits until a data directory has a snapshot.
func awaitSnapshot(ctx context.Context, m *member, size workload.Size, dir string) error {
	for n := 0; ; n++ {
		found, err := filepath.Glob(filepath.Join(dir, "snapshots", "*", "meta.json"))
		if err != nil || len(found) > 0 && !slices.ContainsFunc(found, unfinished) {
			return err
		}
		if err := propose(ctx, m, size.Change(n)); err != nil { // raft looks for the need of one from time to time
			return err
		}
	}
}

func unfinished(path string) bool { return strings.HasSuffix(filepath.Dir(path), ".tmp") }

// makeDirectory makes a data directory with a snapshot of everything and
// entriesBehind entries after it. It writes them to memory first, where a write need
// not wait for a disk.
func (b *bench) makeDirectory(ctx context.Context) (string, error) {
	memory, err := os.MkdirTemp("/dev/shm", "meshway-scale-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(memory)
	dir := filepath.Join(b.dir, "restart")
	if err := b.writeDirectory(ctx, memory); err != nil {
		return "", err
	}
	return dir, os.CopyFS(dir, os.DirFS(memory))
}

func (b *bench) writeDirectory(ctx context.Context, dir string) error {
	m, err := start(ctx, b.size, dir, 64)
	if err != nil {
		return err
	}
	err = fill(ctx, m, b.size)
	if err == nil {
		err = awaitSnapshot(ctx, m, b.size, dir)
	}
	if err = errors.Join(err, m.stop()); err != nil {
		return err
	}
	if m, err = start(ctx, b.size, dir, 1<<20); err != nil {
		return err
	}
	b.note("the catalog is written and has a snapshot")
	begin := m.View().Index()
	for n := 0; err == nil && m.View().Index() < begin+entriesBehind; n++ {
		err = propose(ctx, m, b.size.Change(n))
	}
	return errors.Join(err, m.stop())
}

// restarted is what a process reports that has opened a data directory.
type restarted struct {
	RestartMS float64 `json:"restart_ms"`
	CPUMS     float64 `json:"restart_cpu_ms"`
	MemoryMB  float64 `json:"memory_mb"`
}

// measureRestart starts processes that open the directory of a member.
func (b *bench) measureRestart(ctx context.Context) error {
	b.note("writing %d entries", entriesBehind)
	dir, err := b.makeDirectory(ctx)
	if err != nil {
		return err
	}
	var times, cpu, sizes []float64
	for range b.rounds {
		self := exec.CommandContext(ctx, "/proc/self/exe", roleRestart, dir)
		self.Stderr = b.progress
		out, err := self.Output()
		if err != nil {
			return err
		}
		var r restarted
		if err := json.Unmarshal(out, &r); err != nil {
			return err
		}
		b.note("restart: %.0f ms, %.0f ms of processor time, %.0f MiB", r.RestartMS, r.CPUMS, r.MemoryMB)
		times, cpu, sizes = append(times, r.RestartMS), append(cpu, r.CPUMS), append(sizes, r.MemoryMB)
	}
	slices.Sort(times)
	slices.Sort(cpu)
	slices.Sort(sizes)
	b.result.Restarts = Restarts{rounded(benchmark.Median(times)), rounded(benchmark.Median(cpu)), rounded(benchmark.Median(sizes))}
	return nil
}

// reportRestart opens a data directory, plans, builds the status, and keeps all that
// an agent keeps, with 100 000 routes.
func reportRestart(dir string, out io.Writer) error {
	debug.SetGCPercent(50) // as meshd does
	size := workload.Full()
	network, begin, used := consensustest.NewNetwork(), time.Now(), processorTime()
	node, err := raftnode.Open(raftnode.Config{ID: size.Self(), Dir: dir, Network: network.Host(size.Self()), Remote: network.Remote(size.Self())})
	if err != nil {
		return err
	}
	r := restarted{
		RestartMS: float64(time.Since(begin)) / float64(time.Millisecond),
		CPUMS:     float64(processorTime()-used) / float64(time.Millisecond),
	}
	if have := len(node.View().Services(replica.ServiceFilter{})); have != size.Services {
		return errors.Join(fmt.Errorf("the catalog has %d services", have), node.Close())
	}
	sources := size.Sources()
	sources.Routes = routes.Observed{Config: manyRoutes()}
	kept := []any{sources, manyRoutes(), manyRoutes()} // observed, desired, and applied last
	snapshot := status.Build(sources)
	gatewayplan.Compute(sources.Inputs)
	if r.MemoryMB, err = residentMB(); err != nil {
		return errors.Join(err, node.Close())
	}
	kept = append(kept, snapshot)
	if len(kept) == 0 { // it is in use until here
		return nil
	}
	return errors.Join(json.NewEncoder(out).Encode(r), node.Close())
}

// residentMB returns the resident memory of this process in MiB.
func residentMB() (float64, error) {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(text))
	if len(fields) < 2 {
		return 0, fmt.Errorf("/proc/self/statm contains %q", text)
	}
	pages, err := strconv.ParseFloat(fields[1], 64)
	return pages * float64(os.Getpagesize()) / (1 << 20), err
}

// processorTime returns the processor time of this process, of all its threads.
func processorTime() time.Duration {
	var u unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
