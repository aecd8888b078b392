//go:build linux

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/term"

	"github.com/meshway/meshway/e2e/harness"
)

// exitInterrupted is 128 + SIGINT, the convention of shells.
const exitInterrupted = 130

func main() {
	harness.Main()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	// After the first signal the default action is restored: a second one kills.
	context.AfterFunc(ctx, stop)
	err := run(ctx, os.Args[1:], os.Stdout)
	switch {
	case err == nil || errors.Is(err, flag.ErrHelp):
	case ctx.Err() != nil:
		fmt.Fprintln(os.Stderr, "interrupted; everything is removed")
		os.Exit(exitInterrupted)
	default:
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stdout *os.File) error {
	flags := flag.NewFlagSet("demo", flag.ContinueOnError)
	once := flags.Bool("once", false, "end after the tour")
	bin := flags.String("bin", "bin", "`directory` of meshd and meshctl")
	flags.SetOutput(io.Discard) // main prints the error
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		flags.SetOutput(stdout)
		flags.Usage()
		return err
	} else if err != nil {
		return fmt.Errorf("%w; see demo -h", err)
	}
	parent := os.Getppid()
	binaries, err := prepare(*bin)
	if err != nil {
		return err
	}
	lab, err := harness.NewLab("", nil)
	if err != nil {
		return err
	}
	defer lab.Close()
	s := &screen{w: stdout, terminal: term.IsTerminal(int(stdout.Fd()))}
	t := &tour{
		screen:   s,
		lab:      lab,
		binaries: binaries,
	}
	if err := t.run(ctx); err != nil {
		return err
	}
	if *once {
		return nil
	}
	keepRunning(ctx, t, stdout, parent)
	return nil
}

// prepare checks all requirements before anything is started. Its error lists
// everything that is missing.
func prepare(bin string) (harness.Binaries, error) {
	if os.Geteuid() != 0 {
		return harness.Binaries{}, errors.New("network namespaces need root: sudo make demo")
	}
	dir, err := filepath.Abs(bin)
	if err != nil {
		return harness.Binaries{}, err
	}
	binaries := harness.BinariesIn(dir)
	var missing []string
	for _, file := range []string{binaries.Meshd, binaries.Meshctl} {
		if _, err := exec.LookPath(file); err != nil {
			missing = append(missing, file+" (make build)")
		}
	}
	for _, tool := range []struct{ name, from string }{
		{"ip", "iproute2"}, {"nft", "nftables"}, {"nsenter", "util-linux"},
	} {
		if _, err := exec.LookPath(tool.name); err != nil {
			missing = append(missing, fmt.Sprintf("%s (Debian: apt-get install %s)", tool.name, tool.from))
		}
	}
	if _, err := os.Stat("/dev/net/tun"); err != nil {
		missing = append(missing, "/dev/net/tun (modprobe tun)")
	}
	if len(missing) > 0 {
		return binaries, fmt.Errorf("missing: %s", strings.Join(missing, ", "))
	}
	_, err = harness.Sweep("") // removes what a killed demonstration has left
	return binaries, err
}

// keepRunning keeps the federation until Ctrl-C, or until the parent process (make
// or a shell) has ended, after which no Ctrl-C could arrive.
func keepRunning(ctx context.Context, t *tour, w io.Writer, parent int) {
	t.printHints(w)
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for os.Getppid() == parent {
		select {
		case <-ctx.Done():
			fmt.Fprintln(w, "\nstopping; everything is removed")
			return
		case <-ticker.C:
		}
	}
}
