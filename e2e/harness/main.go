//go:build linux

package harness

import (
	"context"
	"fmt"
	"os"
	"strings"
)

// The roles of a process of the harness, given by its first argument. The
// zeroth argument is the name of the host, for ps.
const (
	roleInit   = "meshway-harness-init"
	roleServer = "meshway-harness-server"
)

// RunTests runs tests after build, which gets a directory for programs that exists while
// they run. It returns the exit status.
func RunTests(tests interface{ Run() int }, build func(ctx context.Context, dir string) error) int {
	dir, err := os.MkdirTemp("", "meshway-bin-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	if err := build(context.Background(), dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return tests.Run()
}

// Main runs the role for which a lab started this process, and then exits. In
// a process that no lab started, it returns without effect.
func Main() {
	if len(os.Args) < 2 {
		return
	}
	var err error
	switch os.Args[1] {
	case roleInit:
		err = runInit(os.Args[2:])
	case roleServer:
		err = runServer(os.Args[2:])
	default:
		return
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", strings.TrimPrefix(os.Args[1], "meshway-harness-"), err)
		os.Exit(1)
	}
	os.Exit(0)
}
