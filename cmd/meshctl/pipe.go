package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os/exec"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// dialStdio is the command that connects stdin and stdout with meshd: the far
// end of a pipe.
const dialStdio = "dial-stdio"

func newDialStdioCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use: dialStdio, Hidden: true, Args: noArguments(),
		GroupID: groupOther,
		Short:   "Connect stdin and stdout with meshd's socket",
		Long: `Copies stdin to meshd's socket and what meshd answers to stdout. meshctl --context
runs it in the agent's container, at the far end of kubectl exec.`,
		Example: `  kubectl exec -i POD -c meshd -- meshctl dial-stdio`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var dialer net.Dialer
			conn, err := dialer.DialContext(cmd.Context(), "unix", a.options.socket)
			if err != nil {
				return fmt.Errorf("connect with meshd: %w", err)
			}
			defer conn.Close()
			go func() {
				_, _ = io.Copy(conn, a.in) // ends with stdin; an error shows on the way back
				_ = conn.(*net.UnixConn).CloseWrite()
			}()
			_, err = io.Copy(a.out, conn)
			return err
		},
	}
}

// pipe is a connection through a process's stdin and stdout.
type pipe struct {
	io.WriteCloser
	io.Reader
	cmd       *exec.Cmd
	complaint *bytes.Buffer
}

var _ net.Conn = (*pipe)(nil)

func startPipe(cmd *exec.Cmd) (*pipe, error) {
	p := &pipe{cmd: cmd, complaint: new(bytes.Buffer)}
	var err, err2 error
	p.WriteCloser, err = cmd.StdinPipe()
	p.Reader, err2 = cmd.StdoutPipe()
	cmd.Stderr = p.complaint
	if err := errors.Join(err, err2, cmd.Start()); err != nil {
		return nil, fmt.Errorf("start %s: %w", cmd.Path, err)
	}
	return p, nil
}

// Read reads what the process writes. When it ends before it has written
// anything, its complaint is the error.
func (p *pipe) Read(b []byte) (int, error) {
	n, err := p.Reader.Read(b)
	if n == 0 && errors.Is(err, io.EOF) && p.cmd.Wait() != nil {
		if text := strings.TrimSpace(p.complaint.String()); text != "" {
			return 0, &fault{code: exitUnreachable, message: "the agent cannot be reached through kubectl: " + text, remedy: "see whether the agent's pod is ready"}
		}
	}
	return n, err
}

// Close ends the process.
func (p *pipe) Close() error {
	_ = p.WriteCloser.Close()
	if p.cmd.Process != nil {
		_ = p.cmd.Process.Kill() // it may have ended by itself
	}
	_ = p.cmd.Wait() // its end is all that is wanted
	return nil
}

// LocalAddr implements net.Conn.
func (p *pipe) LocalAddr() net.Addr { return pipeAddr{} }

// RemoteAddr implements net.Conn.
func (p *pipe) RemoteAddr() net.Addr { return pipeAddr{} }

// SetDeadline does nothing: calls are bounded by their contexts.
func (p *pipe) SetDeadline(time.Time) error { return nil }

// SetReadDeadline does nothing.
func (p *pipe) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline does nothing.
func (p *pipe) SetWriteDeadline(time.Time) error { return nil }

type pipeAddr struct{}

func (pipeAddr) Network() string { return "pipe" }
func (pipeAddr) String() string  { return "kubectl exec" }
