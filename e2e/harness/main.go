//go:build linux

package harness

import (
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
