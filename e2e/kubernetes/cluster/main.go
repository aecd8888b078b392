//go:build linux

package cluster

import (
	"fmt"
	"os"
	"runtime"

	"github.com/meshway/meshway/e2e/harness"
)

// What the program was started again as, in its first argument.
const (
	roleGroups = "meshway-cluster-groups" // makes a node's control groups
	roleExec   = "meshway-cluster-exec"   // enters them and becomes another program
)

// Main runs the program as what a lab started it again for, and does not
// return then. Otherwise it returns at once. The main goroutine calls it.
func Main() {
	// Hosts are entered on threads that end afterwards. The main thread cannot
	// end: it would stay in a host and keep it, so it is kept from others.
	runtime.LockOSThread()
	harness.Main()
	if len(os.Args) < 2 {
		return
	}
	var err error
	switch os.Args[1] {
	case roleGroups:
		err = runGroups(os.Args[2:])
	case roleExec:
		err = runExec(os.Args[2:])
	default:
		return
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", os.Args[1], err)
		os.Exit(1)
	}
	os.Exit(0)
}
