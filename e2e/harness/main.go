//go:build linux

package harness

import (
	"fmt"
	"os"
	"strings"
)

// What the program was started again as, in its first argument. The zeroth
// argument names the host, for ps.
const (
	roleInit   = "meshway-harness-init"
	roleServer = "meshway-harness-server"
)

// Main runs the program as what a lab started it again for, and does not
// return then. Otherwise it returns at once.
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
