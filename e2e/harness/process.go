//go:build linux

package harness

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Exec runs a command in the host and returns what it printed, standard
// output and error together. When it fails the error holds the same text.
func (h *Host) Exec(ctx context.Context, argv ...string) (string, error) {
	return h.ExecInput(ctx, "", argv...)
}

// ExecInput is Exec with a text on the command's standard input.
func (h *Host) ExecInput(ctx context.Context, input string, argv ...string) (string, error) {
	var out strings.Builder
	err := h.run(ctx, argv, strings.NewReader(input), &out, &out)
	return out.String(), err
}

// ExecSplit is Exec with standard output and error apart.
func (h *Host) ExecSplit(ctx context.Context, argv ...string) (stdout, stderr string, err error) {
	var out, diagnostics strings.Builder
	err = h.run(ctx, argv, nil, &out, &diagnostics)
	return out.String(), diagnostics.String(), err
}

func (h *Host) run(ctx context.Context, argv []string, stdin io.Reader, stdout, stderr *strings.Builder) error {
	cmd := command(ctx, argv)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, stdout, stderr
	cmd.WaitDelay = time.Second // a child that survives may hold the pipe
	if err := h.Do(cmd.Start); err != nil {
		return fmt.Errorf("start %s on %s: %w", argv[0], h.name, err)
	}
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("%s: %s: %w: %s", h.name, strings.Join(argv, " "), err, strings.TrimSpace(stderr.String()))
	}
	return nil
}

// ExitCode is the exit code of a command that Exec ran; -1: it did not run.
func ExitCode(err error) int {
	if err == nil {
		return 0
	}
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return exit.ExitCode()
	}
	return -1
}

// Process is a program that runs in a host.
type Process struct {
	name string
	log  string
	cmd  *exec.Cmd
	done chan struct{}
	err  error // set before done is closed
}

// Start starts a program in the host. What it prints goes to a log file named
// after it; a later process of the same name adds to the file.
func (h *Host) Start(name string, argv ...string) (*Process, error) {
	p := &Process{name: name, log: filepath.Join(h.dir, name+".log"), done: make(chan struct{})}
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open log of %s: %w", name, err)
	}
	defer log.Close() // the program has its own
	// The process outlives the call that starts it: it ends with Kill,
	// Terminate, or with its host.
	p.cmd = command(context.Background(), argv)
	p.cmd.Stdout, p.cmd.Stderr = log, log
	if err := h.Do(p.cmd.Start); err != nil {
		return nil, fmt.Errorf("start %s on %s: %w", name, h.name, err)
	}
	h.log.Debug("process started", "process", name, "pid", p.PID())
	go func() {
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	return p, nil
}

func command(ctx context.Context, argv []string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // Ctrl-C is for the lab only
	return cmd
}

// PID is the process as the machine sees it.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Log returns what the process, and its predecessors of the same name, printed.
func (p *Process) Log() string {
	text, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// Done is closed once the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Err says how the process ended, as exec.Cmd.Wait does; nil while it runs.
func (p *Process) Err() error {
	select {
	case <-p.done:
		return p.err
	default:
		return nil
	}
}

// Kill ends the process with SIGKILL and waits for its end.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill() // it may have ended
	<-p.done
}

// Terminate sends SIGTERM and waits for the end. It is an error when the
// process does not end before ctx does, or not with status 0.
func (p *Process) Terminate(ctx context.Context) error {
	if err := p.cmd.Process.Signal(unix.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("terminate %s: %w", p.name, err)
	}
	select {
	case <-p.done:
		return p.err
	case <-ctx.Done():
		return fmt.Errorf("wait for the end of %s: %w", p.name, context.Cause(ctx))
	}
}
