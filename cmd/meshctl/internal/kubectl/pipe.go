package kubectl

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os/exec"
	"strings"
	"time"

	"github.com/meshway/meshway/cmd/meshctl/internal/fault"
)

// DialStdio is the name of the command that connects stdin and stdout to meshd,
// at the remote end of a pipe.
const DialStdio = "dial-stdio"

// pipe is a connection through the stdin and stdout of a process.
type pipe struct {
	io.WriteCloser
	io.Reader
	cmd    *exec.Cmd
	stderr *bytes.Buffer
}

var _ net.Conn = (*pipe)(nil)

func startPipe(cmd *exec.Cmd) (*pipe, error) {
	p := &pipe{cmd: cmd, stderr: new(bytes.Buffer)}
	var err, err2 error
	p.WriteCloser, err = cmd.StdinPipe()
	p.Reader, err2 = cmd.StdoutPipe()
	cmd.Stderr = p.stderr
	if err := errors.Join(err, err2, cmd.Start()); err != nil {
		return nil, fmt.Errorf("start %s: %w", cmd.Path, err)
	}
	return p, nil
}

// Read reads the stdout of the process. If the process fails without output,
// Read returns its stderr as the error.
func (p *pipe) Read(b []byte) (int, error) {
	n, err := p.Reader.Read(b)
	if n == 0 && errors.Is(err, io.EOF) && p.cmd.Wait() != nil {
		if text := strings.TrimSpace(p.stderr.String()); text != "" {
			return 0, &fault.Fault{
				Code:    fault.ExitUnreachable,
				Message: "cannot reach the agent through kubectl: " + text,
				Remedy:  "check that the agent's pod is ready",
			}
		}
	}
	return n, err
}

// Close ends the process.
func (p *pipe) Close() error {
	_ = p.WriteCloser.Close()
	if p.cmd.Process != nil {
		_ = p.cmd.Process.Kill() // fails if the process has ended
	}
	_ = p.cmd.Wait() // the exit code of a killed process does not matter
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
