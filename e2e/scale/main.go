//go:build linux

// Command scale measures what a federation of full size costs an agent:
//
//	go run ./e2e/scale
//
// It runs the code of the agent in a network namespace of its own, so it needs root.
// It prints progress on standard error and the result on standard output, as one line
// of JSON. Measurements that failed or were not made are null.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/meshway/meshway/e2e/benchmark"
	"github.com/meshway/meshway/e2e/scale/workload"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, unix.SIGTERM)
	defer stop()
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
		return
	case !errors.Is(err, errReported):
		fmt.Fprintln(os.Stderr, "scale:", err)
	}
	os.Exit(1)
}

// The roles of the processes.
const (
	roleNamespace = "namespace" // measures, in a namespace of its own
	roleRestart   = "restart"   // opens the data directory in the argument
)

// errReported is the error of a process that has printed what failed.
var errReported = errors.New("the measurement failed")

func run(ctx context.Context, args []string, out, progress io.Writer) error {
	if len(args) == 2 && args[0] == roleRestart {
		return reportRestart(args[1], out)
	}
	if len(args) > 0 && args[0] == roleNamespace {
		s, err := parse(args[1:])
		if err != nil {
			return err
		}
		return measure(ctx, s, out, progress)
	}
	if _, err := parse(args); err != nil {
		return err
	}
	if os.Geteuid() != 0 {
		return errors.New("the bench makes a network namespace: run it as root")
	}
	self := exec.CommandContext(ctx, "/proc/self/exe", append([]string{roleNamespace}, args...)...)
	self.Stdout, self.Stderr = out, progress
	self.Cancel = func() error { return self.Process.Signal(os.Interrupt) }
	self.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET, Pdeathsig: unix.SIGKILL}
	if err := self.Run(); err != nil {
		return fmt.Errorf("%w: %w", errReported, err)
	}
	return nil
}

// settings holds the command line's flags.
type settings struct {
	only   []string // measurements; empty: all
	rounds int
}

func parse(args []string) (settings, error) {
	var s settings
	flags := flag.NewFlagSet("scale", flag.ContinueOnError)
	flags.IntVar(&s.rounds, "rounds", 5, "number of times that each value is measured, at least 3")
	flags.Func("only", "comma-separated subset of "+strings.Join(names(), ",")+" to measure", func(list string) error {
		for _, name := range strings.FieldsFunc(list, func(r rune) bool { return r == ',' }) {
			if !slices.Contains(names(), name) {
				return fmt.Errorf("%q is no measurement: use some of %s", name, strings.Join(names(), ","))
			}
			s.only = append(s.only, name)
		}
		return nil
	})
	if err := flags.Parse(args); err != nil {
		return s, err
	}
	if s.rounds < 3 {
		return s, fmt.Errorf("rounds is %d: use at least 3, of which the median is taken", s.rounds)
	}
	return s, nil
}

// Plans are the times of plans.
type Plans struct {
	Plan          *float64 `json:"plan_ms"`
	PlanAllDown   *float64 `json:"plan_all_down_ms"`
	PlanOneChange *float64 `json:"plan_one_change_ms"` // the prefixes of one datacenter
	PlanVerdict   *float64 `json:"plan_verdict_ms"`    // no record
}

// Result is the JSON result. Values are medians unless named otherwise.
type Result struct {
	Bench string `json:"bench"`
	Plans
	Status            *float64 `json:"status_ms"`
	CommitCost        *float64 `json:"commit_cost_ms"`
	GatewayLost       *float64 `json:"gateway_lost_ms_100k_routes"`
	RoutePassNoChange *float64 `json:"route_pass_nochange_ms"`
	OneRoute          *float64 `json:"one_route_ms"`
	SnapshotStall     *float64 `json:"snapshot_stall_ms"`
	NoSnapshotStall   *float64 `json:"no_snapshot_stall_ms"` // the same without a snapshot: what the machine adds
	WatchP99          *float64 `json:"watch_p99_ms"`
	Restarts
	Verification

	Rounds  int    `json:"rounds"`
	Machine string `json:"machine"`
}

// Restarts is what it costs to open the data directory of a large federation.
type Restarts struct {
	Restart *float64 `json:"restart_ms"`
	CPU     *float64 `json:"restart_cpu_ms"` // processor time of all threads
	Memory  *float64 `json:"memory_mb"`
}

// Verification is how long an agent verifies the records of all gateways and datacenters.
type Verification struct {
	Verify      *float64 `json:"verify_ms"` // after a restart, with the ledger: at most 100
	VerifyFirst *float64 `json:"verify_first_ms"`
}

// bench is one run.
type bench struct {
	settings
	size     workload.Size
	dir      string // for data directories
	result   Result
	progress io.Writer
}

type measurement struct {
	name string
	run  func(*bench, context.Context) error
}

func measurements() []measurement {
	return []measurement{
		{"plan", (*bench).measurePlan},
		{"status", (*bench).measureStatus},
		{"commit", (*bench).measureCommit},
		{"routes", (*bench).measureRoutes},
		{"gateway", (*bench).measureGatewayLost},
		{"restart", (*bench).measureRestart},
		{"verify", (*bench).measureVerify},
		{"snapshot", (*bench).measureSnapshot},
		{"watch", (*bench).measureWatch},
	}
}

func names() []string {
	var list []string
	for _, m := range measurements() {
		list = append(list, m.name)
	}
	return list
}

// measure makes the measurements and prints the result, even if some fail.
func measure(ctx context.Context, s settings, out, progress io.Writer) error {
	dir, err := os.MkdirTemp("", "meshway-scale-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	machine, err := benchmark.Machine()
	if err != nil {
		return err
	}
	b := &bench{settings: s, size: workload.Full(), dir: dir, progress: progress}
	b.result = Result{Bench: "scale", Rounds: s.rounds, Machine: machine}
	var failed error
	for _, m := range measurements() {
		if ctx.Err() != nil || len(s.only) > 0 && !slices.Contains(s.only, m.name) {
			continue
		}
		b.note("measuring %s", m.name)
		if err := m.run(b, ctx); err != nil {
			failed = errors.Join(failed, fmt.Errorf("measure %s: %w", m.name, err))
		}
	}
	line, err := json.Marshal(b.result)
	if err != nil {
		return errors.Join(failed, err)
	}
	_, err = fmt.Fprintf(out, "%s\n", line)
	return errors.Join(failed, err, ctx.Err())
}

func (b *bench) note(format string, args ...any) { fmt.Fprintf(b.progress, format+"\n", args...) }

// median returns the median of the times of the rounds in milliseconds. A round that
// comes before all others warms up and does not count.
func (b *bench) median(what string, round func() (time.Duration, error)) (*float64, error) {
	var values []float64
	for i := range b.rounds + 1 {
		took, err := round()
		if err != nil {
			return nil, err
		}
		if i > 0 {
			values = append(values, float64(took)/float64(time.Millisecond))
		}
	}
	slices.Sort(values)
	b.note("%s: %.3f ms, of %d rounds between %.3f and %.3f", what, benchmark.Median(values), len(values), values[0], values[len(values)-1])
	return rounded(benchmark.Median(values)), nil
}

// timed returns how long f takes.
func timed(f func()) func() (time.Duration, error) {
	return func() (time.Duration, error) {
		start := time.Now()
		f()
		return time.Since(start), nil
	}
}
