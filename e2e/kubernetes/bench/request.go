//go:build linux

package bench

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"time"
)

// clientScript sends requests with new connections until one is answered. It
// prints "failed" after the first failure and "answered" at the end.
const clientScript = `trap 'exit 1' TERM
until curl -sf -o /dev/null --connect-timeout 0.25 --max-time 1 "$0"; do
  [ "$failed" ] || echo failed
  failed=1
  sleep 0.02
done
echo answered`

// client runs clientScript in a pod of the importing cluster.
type client struct {
	command *exec.Cmd
	lines   chan line
	errors  *strings.Builder
	cancel  context.CancelFunc
}

// line is a line of the client's output.
type line struct {
	text string
	at   time.Time // when it was received
}

// startClient starts a client and returns once its first request has failed, so
// that the measured time includes the effects of earlier requests, such as cached
// negative DNS answers.
func (b *Bench) startClient(ctx context.Context, url string) (*client, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	c := &client{cancel: cancel, errors: new(strings.Builder), lines: make(chan line, 2)} // the script prints two lines
	c.command = exec.CommandContext(ctx, b.lab.EnterScript(), "kubectl", "--context", b.west.Name(), "-n", namespace,
		"exec", "client", "--", "sh", "-c", clientScript, url)
	c.command.Stderr, c.command.WaitDelay = c.errors, time.Second
	out, err := c.command.StdoutPipe()
	if err == nil {
		err = c.command.Start()
	}
	if err != nil {
		cancel()
		return nil, fmt.Errorf("start client: %w", err)
	}
	go c.read(out)
	if _, err := c.awaitLine("failed"); err != nil {
		return nil, fmt.Errorf("request %s before it is available: %w", url, err)
	}
	return c, nil
}

// read records the lines of the client's output until the client exits.
func (c *client) read(out io.Reader) {
	defer close(c.lines)
	for scanner := bufio.NewScanner(out); scanner.Scan(); {
		c.lines <- line{scanner.Text(), time.Now()}
	}
}

// awaitAnswer waits until a request is answered and returns the time.
func (c *client) awaitAnswer() (time.Time, error) {
	defer c.stop()
	return c.awaitLine("answered")
}

func (c *client) awaitLine(want string) (time.Time, error) {
	got := <-c.lines
	if got.text == want {
		return got.at, nil
	}
	c.stop()
	return got.at, fmt.Errorf("client printed %q, not %q: %s", got.text, want, strings.TrimSpace(c.errors.String()))
}

// stop kills the client. Further calls do nothing.
func (c *client) stop() {
	c.cancel()
	for range c.lines { // Wait must not be called before all output is read
	}
	_ = c.command.Wait() // the client was killed or has exited
}

// milliseconds returns the time between two instants.
func milliseconds(from, to time.Time) float64 {
	return float64(to.Sub(from)) / float64(time.Millisecond)
}
