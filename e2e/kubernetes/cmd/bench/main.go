//go:build linux

// Command bench brings up two clusters with Meshway and measures what a user
// waits for and what the agent costs:
//
//	go run ./cmd/bench
//
// Its progress is on standard error; on standard output is one line, the result
// as JSON. It ends with 1 if any of it could not be measured: that is null.
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

// settings are the command line.
type settings struct {
	bench bench.Config
	keep  bool
}

func parse(args []string) (settings, error) {
	s := settings{bench: bench.DefaultConfig()}
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.BoolVar(&s.keep, "keep", false, "hold the clusters until Ctrl-C")
	flags.IntVar(&s.bench.Joins, "joins", s.bench.Joins, "rounds of leaving and joining")
	flags.IntVar(&s.bench.Exports, "exports", s.bench.Exports, "services that are exported one after the other")
	flags.IntVar(&s.bench.Pods, "pods", s.bench.Pods, "times that a pod becomes ready")
	flags.IntVar(&s.bench.Services, "services", s.bench.Services, "imported services under which memory, idle CPU and burst are measured")
	flags.DurationVar(&s.bench.Idle, "idle", s.bench.Idle, "how long the idle agent is measured")
	flags.Func("only", "measure only some of "+strings.Join(bench.Measurements(), ","), func(list string) error {
		s.bench.Only = strings.FieldsFunc(list, func(r rune) bool { return r == ',' })
		return nil
	})
	if err := flags.Parse(args); err != nil {
		return s, err
	}
	return s, s.bench.Validate()
}

// run prints the one line also when it is interrupted.
func run(ctx context.Context, args []string, out, progress io.Writer) (err error) {
	s, err := parse(args)
	if err != nil {
		return err
	}
	machine, err := bench.Machine()
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
		fmt.Fprintf(progress, "a shell with kubectl, helm and KUBECONFIG: %s\nCtrl-C ends and removes all of it\n", lab.EnterScript())
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

// measure brings the clusters up and fills in the result.
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
	fmt.Fprintln(progress, "Meshway is installed, the clusters are joined, DNS is enabled")
	b, err := bench.New(s.bench, lab, f, progress)
	if err != nil {
		return err
	}
	return b.Run(ctx, result)
}
