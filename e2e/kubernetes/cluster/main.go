//go:build linux

package cluster

import (
	"fmt"
	"os"
	"runtime"

	"github.com/meshway/meshway/e2e/harness"
)

// The roles of a process of this package, given by its first argument.
const (
	roleGroups = "meshway-cluster-groups" // creates a node's control groups
	roleExec   = "meshway-cluster-exec"   // enters them and executes another program
)

// Main runs the role for which a lab started this process, and then exits. In a
// process that no lab started, it returns without effect. It must be called by
// the main goroutine.
func Main() {
	// Threads that enter a host exit afterwards. The main thread cannot exit and
	// would keep the host's namespaces, so no other goroutine may run on it.
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
