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

// clientScript asks again and again, with new connections, as a client does that
// knows a name before it exists. It says when it has begun to fail and when it
// was answered.
const clientScript = `trap 'exit 1' TERM
until curl -sf -o /dev/null --connect-timeout 0.25 --max-time 1 "$0"; do
  [ "$failed" ] || echo failed
  failed=1
  sleep 0.02
done
echo answered`

// client is a pod of the importing cluster that asks until it is answered.
type client struct {
	command *exec.Cmd
	lines   chan line
	errors  *strings.Builder
	cancel  context.CancelFunc
}

// line is one that the client printed.
type line struct {
	text string
	at   time.Time
}

// startClient starts a client and returns when its first attempt has failed: so the
// name is asked for before it is known, which an honest measurement includes.
func (b *Bench) startClient(ctx context.Context, url string) (*client, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	c := &client{cancel: cancel, errors: new(strings.Builder), lines: make(chan line, 2)} // it prints no more
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
		return nil, fmt.Errorf("ask %s before it can be answered: %w", url, err)
	}
	return c, nil
}

// read notes when the client says what, until it ends.
func (c *client) read(out io.Reader) {
	defer close(c.lines)
	for scanner := bufio.NewScanner(out); scanner.Scan(); {
		c.lines <- line{scanner.Text(), time.Now()}
	}
}

// awaitAnswer waits for the answer and returns when it was there.
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
	return got.at, fmt.Errorf("client said %q, not %q: %s", got.text, want, strings.TrimSpace(c.errors.String()))
}

// stop ends the client; again, it does nothing.
func (c *client) stop() {
	c.cancel()
	for range c.lines { // until all is read, as Wait wants it
	}
	_ = c.command.Wait() // it was killed, or had ended
}

func milliseconds(from, to time.Time) float64 {
	return float64(to.Sub(from)) / float64(time.Millisecond)
}
