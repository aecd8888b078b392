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

// Exec runs a command in the host and returns its standard output and standard
// error, combined. The error of a command that fails contains the same text.
func (h *Host) Exec(ctx context.Context, argv ...string) (string, error) {
	return h.ExecInput(ctx, "", argv...)
}

// ExecInput is like Exec with input as the command's standard input.
func (h *Host) ExecInput(ctx context.Context, input string, argv ...string) (string, error) {
	var out strings.Builder
	err := h.run(ctx, argv, strings.NewReader(input), &out, &out)
	return out.String(), err
}

// ExecSplit is like Exec but returns standard output and standard error
// separately.
func (h *Host) ExecSplit(ctx context.Context, argv ...string) (stdout, stderr string, err error) {
	var out, diagnostics strings.Builder
	err = h.run(ctx, argv, nil, &out, &diagnostics)
	return out.String(), diagnostics.String(), err
}

func (h *Host) run(ctx context.Context, argv []string, stdin io.Reader, stdout, stderr *strings.Builder) error {
	cmd := command(ctx, argv)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, stdout, stderr
	cmd.WaitDelay = 10 * time.Second // a child that survives may hold the pipe open; on a busy host so does one that is being started
	if err := h.Do(cmd.Start); err != nil {
		return fmt.Errorf("start %s on %s: %w", argv[0], h.name, err)
	}
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("%s: %s: %w: %s", h.name, strings.Join(argv, " "), err, strings.TrimSpace(stderr.String()))
	}
	return nil
}

// ExitCode returns the exit code that an error of Exec reports: 0 for nil, and
// -1 if the command did not run.
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

// Start starts a program in the host. Its output is appended to a log file
// with the given name, which processes of the same name share.
func (h *Host) Start(name string, argv ...string) (*Process, error) {
	p := &Process{name: name, log: filepath.Join(h.dir, name+".log"), done: make(chan struct{})}
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open log of %s: %w", name, err)
	}
	defer log.Close() // the program has its own descriptor
	// The process outlives the call that starts it: Kill, Terminate or the
	// host's Close ends it.
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
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // Ctrl-C interrupts only the lab
	return cmd
}

// PID returns the process id in the machine's PID namespace.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Log returns the output of the process and of earlier processes of the same
// name.
func (p *Process) Log() string {
	text, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// Done returns a channel that is closed once the process has exited.
func (p *Process) Done() <-chan struct{} { return p.done }

// Err returns the result of exec.Cmd.Wait, or nil while the process runs.
func (p *Process) Err() error {
	select {
	case <-p.done:
		return p.err
	default:
		return nil
	}
}

// Kill sends SIGKILL and waits for the process to exit.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill() // it may have exited
	<-p.done
}

// Pause stops the process with SIGSTOP, as a virtual machine is paused, until Resume.
func (p *Process) Pause() error { return p.cmd.Process.Signal(unix.SIGSTOP) }

// Resume continues a paused process.
func (p *Process) Resume() error { return p.cmd.Process.Signal(unix.SIGCONT) }

// Terminate sends SIGTERM and waits for the process to exit. It returns an
// error if ctx is done first, or if the exit status is not 0.
func (p *Process) Terminate(ctx context.Context) error {
	if err := p.cmd.Process.Signal(unix.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("terminate %s: %w", p.name, err)
	}
	select {
	case <-p.done:
		return p.err
	case <-ctx.Done():
		return fmt.Errorf("wait for %s to exit: %w", p.name, context.Cause(ctx))
	}
}
