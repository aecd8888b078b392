//go:build linux

package harness

import (
	"fmt"
	"io"
	"os"
	"os/signal"

	"golang.org/x/sys/unix"
)

// ready is the line that a host's first process prints once the host is set up.
const ready = "ready"

// runInit is the first process of a host: it mounts the host's file systems
// and then reaps orphaned processes. It returns at the end of its standard
// input, which the lab holds open; the kernel then kills all other processes
// of the host.
func runInit(args []string) error {
	if len(args) != 2 {
		return fmt.Errorf("expected NAME DIR, got %q", args)
	}
	name, lib := args[0], args[1]
	signal.Ignore(unix.SIGINT, unix.SIGTERM, unix.SIGHUP)
	children := make(chan os.Signal, 1)
	signal.Notify(children, unix.SIGCHLD)
	go reap(children) // runs until the process exits
	if err := unix.Sethostname([]byte(name)); err != nil {
		return fmt.Errorf("set host name: %w", err)
	}
	if err := mountAll(lib); err != nil {
		return err
	}
	fmt.Fprintln(os.Stdout, ready)
	_, err := io.Copy(io.Discard, os.Stdin)
	return err
}

// mountAll gives the host its own /proc, /run and /var/lib. All other
// directories are those of the machine.
func mountAll(lib string) error {
	for _, m := range []struct {
		source, target, kind string
		flags                uintptr
	}{
		{"none", "/", "", unix.MS_REC | unix.MS_PRIVATE}, // nothing propagates to the machine
		{"proc", "/proc", "proc", unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC},
		{"tmpfs", "/run", "tmpfs", unix.MS_NOSUID | unix.MS_NODEV},
		{lib, "/var/lib", "", unix.MS_BIND},
	} {
		if err := unix.Mount(m.source, m.target, m.kind, m.flags, ""); err != nil {
			return fmt.Errorf("mount %s: %w", m.target, err)
		}
	}
	return nil
}

func reap(children <-chan os.Signal) {
	for range children {
		for {
			pid, err := unix.Wait4(-1, nil, unix.WNOHANG, nil)
			if err == unix.EINTR {
				continue
			}
			if err != nil || pid <= 0 {
				break
			}
		}
	}
}
