//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/meshway/meshway/e2e/kubernetes/cluster"
)

// stopTimeout is how long the suite may run after an interrupt. Its cleanup is
// not needed, because the clusters are removed.
const stopTimeout = 5 * time.Second

// suite is a conformance suite and the options of a run.
type suite struct {
	source  string // directory of the checkout; after findModule, of the suite's module
	filter  string
	reports string
	args    []string // extra arguments of the suite
	program string   // set by build
}

// findModule finds the suite's module in the checkout.
func (s *suite) findModule() error {
	if s.source == "" {
		return errors.New("-suite is missing: set it to the directory of a checkout of kubernetes-sigs/mcs-api")
	}
	module, err := filepath.Abs(filepath.Join(s.source, "conformance"))
	if err != nil {
		return fmt.Errorf("find suite: %w", err)
	}
	if _, err := os.Stat(filepath.Join(module, "go.mod")); err != nil {
		return fmt.Errorf("-suite %s: no Go module in its directory conformance: set it to the directory of a checkout of kubernetes-sigs/mcs-api", s.source)
	}
	s.source = module
	return nil
}

// build compiles the suite in its own module, with the module's versions.
func (s *suite) build(ctx context.Context, dir string) error {
	s.program = filepath.Join(dir, "conformance.test")
	build := exec.CommandContext(ctx, "go", "test", "-c", "-o", s.program, ".")
	build.Dir = s.source
	build.Env = append(os.Environ(), "GOWORK=off")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build suite: %v: %s", err, out) //nolint:errorlint // with %w, main would exit with the status of go test
	}
	return nil
}

// run runs the suite on the console, which reaches all API servers, in the
// directory of the reports, because the suite writes them into its working
// directory.
func (s *suite) run(ctx context.Context, lab *cluster.Lab, contexts []string, out io.Writer) error {
	if err := s.createReportsDir(); err != nil {
		return err
	}
	argv := []string{s.program, "-contexts=" + strings.Join(contexts, ","), "-ginkgo.v", "-ginkgo.no-color"}
	if s.filter != "" {
		argv = append(argv, "-ginkgo.label-filter="+s.filter)
	}
	command := exec.CommandContext(ctx, lab.EnterScript(), append(argv, s.args...)...)
	command.Dir, command.Stdout, command.Stderr = s.reports, out, os.Stderr
	command.Cancel = func() error { return command.Process.Signal(os.Interrupt) }
	command.WaitDelay = stopTimeout
	err := command.Run()
	fmt.Fprintf(out, "reports: %s/report.yaml and report.html\n", s.reports)
	switch {
	case ctx.Err() != nil:
		return errors.New("run suite: interrupted")
	case err != nil:
		return fmt.Errorf("run suite: %w", err)
	}
	return nil
}

func (s *suite) createReportsDir() (err error) {
	if s.reports == "" {
		s.reports, err = os.MkdirTemp("", "meshway-conformance-")
	} else if s.reports, err = filepath.Abs(s.reports); err == nil {
		err = os.MkdirAll(s.reports, 0o755)
	}
	if err != nil {
		return fmt.Errorf("create directory for reports: %w", err)
	}
	return nil
}
