//go:build linux

// Command catalog measures the replicated catalog beside etcd:
//
//	go run ./cmd/catalog
//
// It prints progress on standard error and the result on standard output, as one line
// of JSON. Measurements that failed or were left out are null; the exit status is 1 if
// one failed.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/meshway/meshway/e2e/bench/catalogbench"
	"github.com/meshway/meshway/e2e/benchmark"
	"github.com/meshway/meshway/e2e/harness"
)

func main() {
	harness.Main()
	catalogbench.Main()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, unix.SIGTERM, unix.SIGHUP)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "catalog:", err)
		os.Exit(1)
	}
}

// settings holds the command line's flags.
type settings struct {
	bench catalogbench.Config
	keep  bool
}

func parse(args []string) (settings, error) {
	s := settings{bench: catalogbench.DefaultConfig()}
	flags := flag.NewFlagSet("catalog", flag.ContinueOnError)
	flags.BoolVar(&s.keep, "keep", false, "keep the directory with data and logs")
	flags.IntVar(&s.bench.Rounds, "rounds", s.bench.Rounds, "number of rounds of each measurement")
	flags.DurationVar(&s.bench.Span, "span", s.bench.Span, "duration of one measurement in one round")
	flags.StringVar(&s.bench.Bin, "bin", s.bench.Bin, "`directory` of meshd and meshctl")
	flags.StringVar(&s.bench.Dir, "dir", "", "`directory` on the disk that is measured; empty: that of temporary files")
	flags.StringVar(&s.bench.Profile, "profile", "", "`directory` for processor profiles of the members")
	flags.Func("only", "comma-separated subset of "+strings.Join(catalogbench.Measurements(), ",")+" to measure", func(list string) error {
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
	if s.bench.Dir, err = os.MkdirTemp(s.bench.Dir, "meshway-bench-"); err != nil {
		return fmt.Errorf("create directory: %w", err)
	}
	defer func() {
		if s.keep {
			fmt.Fprintln(progress, "data and logs:", s.bench.Dir)
			return
		}
		err = errors.Join(err, os.RemoveAll(s.bench.Dir))
	}()
	result := catalogbench.NewResult(machine)
	err = catalogbench.New(s.bench, result, progress).Run(ctx)
	fmt.Fprint(progress, result.Rounds())
	line, encodeErr := result.JSON()
	if encodeErr == nil {
		_, encodeErr = fmt.Fprintf(out, "%s\n", line)
	}
	return errors.Join(err, encodeErr)
}
