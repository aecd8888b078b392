//go:build linux

// Command conformance starts two clusters with Meshway and runs the public
// conformance suite of the Multi-Cluster Services API against them, from a
// checkout of kubernetes-sigs/mcs-api:
//
//	go run ./cmd/conformance -suite ~/mcs-api -filter Required
//
// Its exit status is that of the suite.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"

	"github.com/meshway/meshway/e2e/kubernetes/cluster"
	"golang.org/x/sys/unix"
)

func main() {
	cluster.Main()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, unix.SIGTERM)
	defer stop()
	err := run(ctx, os.Args[1:], os.Stdout)
	var failed *exec.ExitError
	switch {
	case err == nil || errors.Is(err, flag.ErrHelp):
	case errors.As(err, &failed) && failed.ExitCode() > 0:
		fmt.Fprintln(os.Stderr, "conformance:", err)
		os.Exit(failed.ExitCode())
	default:
		fmt.Fprintln(os.Stderr, "conformance:", err)
		os.Exit(1)
	}
}

// settings holds the command line's flags.
type settings struct {
	suite     suite
	dualStack bool
}

func parse(args []string) (settings, error) {
	var s settings
	flags := flag.NewFlagSet("conformance", flag.ContinueOnError)
	flags.StringVar(&s.suite.source, "suite", "", "directory of a checkout of kubernetes-sigs/mcs-api (required)")
	flags.StringVar(&s.suite.filter, "filter", "", "label filter of the specs to run, for Ginkgo's --label-filter, such as Required")
	flags.StringVar(&s.suite.reports, "reports", "", "directory for report.yaml and report.html (default: a new temporary directory)")
	flags.BoolVar(&s.dualStack, "dual-stack", false, "use clusters with IPv4 and IPv6")
	flags.Usage = func() {
		fmt.Fprintln(flags.Output(), "usage: conformance -suite DIR [flags] [-- flags of the suite]")
		flags.PrintDefaults()
	}
	if err := flags.Parse(args); err != nil {
		return s, err
	}
	s.suite.args = flags.Args()
	return s, s.suite.findModule()
}

func run(ctx context.Context, args []string, out io.Writer) (err error) {
	s, err := parse(args)
	if err != nil {
		return err
	}
	programs, err := os.MkdirTemp("", "meshway-conformance-programs-")
	if err != nil {
		return fmt.Errorf("create directory: %w", err)
	}
	defer func() { err = cmp.Or(err, os.RemoveAll(programs)) }()
	if err := s.suite.build(ctx, programs); err != nil {
		return err
	}
	lab, err := cluster.NewLab(ctx, "", out)
	if err != nil {
		return err
	}
	defer func() {
		if closing := lab.Close(); closing != nil {
			err = errors.Join(err, closing)
		}
	}()
	contexts, err := startClusters(ctx, lab, s, programs)
	if err != nil {
		return err
	}
	return s.suite.run(ctx, lab, contexts, out)
}
