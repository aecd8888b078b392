//go:build linux

// Command bench starts two clusters with Meshway and measures latencies and the
// resource use of the agent:
//
//	go run ./cmd/bench
//
// It prints progress on standard error and the result on standard output, as one
// line of JSON. Measurements that failed are null; the exit status is then 1.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"

	"github.com/meshway/meshway/e2e/benchmark"
	"github.com/meshway/meshway/e2e/kubernetes/bench"
	"github.com/meshway/meshway/e2e/kubernetes/cluster"
	"github.com/meshway/meshway/e2e/kubernetes/install"
	"golang.org/x/sys/unix"
)

func main() {
	cluster.Main()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, unix.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// settings holds the command line's flags.
type settings struct {
	bench bench.Config
	keep  bool
}

func parse(args []string) (settings, error) {
	s := settings{bench: bench.DefaultConfig()}
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.BoolVar(&s.keep, "keep", false, "keep the clusters until Ctrl-C")
	flags.IntVar(&s.bench.Joins, "joins", s.bench.Joins, "number of times that a cluster leaves and joins")
	flags.IntVar(&s.bench.Exports, "exports", s.bench.Exports, "number of services that are exported one after the other")
	flags.IntVar(&s.bench.Pods, "pods", s.bench.Pods, "number of times that a pod becomes ready")
	flags.IntVar(&s.bench.Services, "services", s.bench.Services, "number of imported services while memory, idle CPU and burst are measured")
	flags.DurationVar(&s.bench.Idle, "idle", s.bench.Idle, "duration of the measurement of idle CPU")
	flags.Func("only", "comma-separated subset of "+strings.Join(bench.Measurements(), ",")+" to measure", func(list string) error {
		s.bench.Only = strings.FieldsFunc(list, func(r rune) bool { return r == ',' })
		return nil
	})
	if err := flags.Parse(args); err != nil {
		return s, err
	}
	return s, s.bench.Validate()
}

// run prints the result even if it is interrupted.
func run(ctx context.Context, args []string, out, progress io.Writer) (err error) {
	s, err := parse(args)
	if err != nil {
		return err
	}
	machine, err := benchmark.Machine()
	if err != nil {
		return err
	}
	result := bench.NewResult(machine)
	lab, err := cluster.NewLab(ctx, "", progress)
	if err != nil {
		return errors.Join(err, print(out, result))
	}
	defer func() { err = errors.Join(err, lab.Close()) }()
	err = measure(ctx, s, lab, result, progress)
	err = errors.Join(err, print(out, result))
	if s.keep && ctx.Err() == nil {
		fmt.Fprintf(progress, "a shell with kubectl, helm and KUBECONFIG: %s\nCtrl-C removes the clusters\n", lab.EnterScript())
		<-ctx.Done()
	}
	return err
}

func print(out io.Writer, result *bench.Result) error {
	line, err := json.Marshal(result)
	if err != nil {
		return fmt.Errorf("encode result: %w", err)
	}
	_, err = fmt.Fprintf(out, "%s\n", line)
	return err
}

// measure starts the clusters and fills in the result.
func measure(ctx context.Context, s settings, lab *cluster.Lab, result *bench.Result, progress io.Writer) error {
	f, err := install.Clusters(ctx, lab, lab.Dir(), cluster.Numbered(0), cluster.Numbered(1))
	if err != nil {
		return err
	}
	if err := f.Install(ctx); err != nil {
		return err
	}
	if err := f.EnableDNS(ctx); err != nil {
		return err
	}
	fmt.Fprintln(progress, "Meshway is installed, the clusters have joined, and DNS is enabled")
	b, err := bench.New(s.bench, lab, f, progress)
	if err != nil {
		return err
	}
	return b.Run(ctx, result)
}
