//go:build linux && root

package federation_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/e2e/kubernetes/cluster"
)

// requestInterval is the interval of requests on a connection.
const requestInterval = 20 * time.Millisecond

// connections is a set of connections that stay open during a test, with a
// continuous sequence of requests on each.
type connections struct {
	cancel  context.CancelFunc
	running sync.WaitGroup
	all     []*connection
}

// connect opens connections from a node to a server. Their source ports differ,
// so that they are distributed over the gateways.
func (tb *testbed) connect(t *testing.T, from *cluster.Node, server string, number int) *connections {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	c := &connections{cancel: cancel}
	t.Cleanup(func() { cancel(); c.running.Wait() })
	for range number {
		conn, err := from.Host().DialContext(within(t, timeout), "tcp", server)
		require.NoError(t, err)
		one := &connection{conn: conn}
		c.all = append(c.all, one)
		c.running.Go(func() { one.run(ctx) })
	}
	return c
}

// await waits until each connection has received a further number of answers.
func (c *connections) await(t *testing.T, tb *testbed, answers int) {
	t.Helper()
	for _, one := range c.all {
		enough := one.report().answers + answers
		tb.await(t, "a connection is answered", func(context.Context) error {
			switch now := one.report(); {
			case now.err != nil:
				return now.err
			case now.answers < enough:
				return fmt.Errorf("%d answers are missing", enough-now.answers)
			}
			return nil
		})
	}
}

// stop closes the connections, asserts that none has failed, and returns the
// longest time without an answer.
func (c *connections) stop(t *testing.T) time.Duration {
	t.Helper()
	c.cancel()
	c.running.Wait()
	var longest time.Duration
	for i, one := range c.all {
		r := one.report()
		assert.NoError(t, r.err, "connection %d, after %d answers", i, r.answers)
		longest = max(longest, r.longest)
	}
	return longest
}

type connection struct {
	conn net.Conn

	mu     sync.Mutex // guards all following fields
	result connectionReport
}

// connectionReport is the result of a connection so far.
type connectionReport struct {
	answers int
	longest time.Duration // the longest time between two answers
	err     error         // the error that ended the connection
}

func (c *connection) report() connectionReport {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.result
}

func (c *connection) run(ctx context.Context) {
	defer c.conn.Close()
	tick := time.NewTicker(requestInterval)
	defer tick.Stop()
	answers, last := bufio.NewReader(c.conn), time.Now()
	for ctx.Err() == nil {
		err := c.request(answers)
		now := time.Now()
		c.mu.Lock()
		c.result.longest, c.result.err = max(c.result.longest, now.Sub(last)), err
		if err == nil {
			c.result.answers++
		}
		c.mu.Unlock()
		if err != nil {
			return
		}
		last = now
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
}

func (c *connection) request(answers *bufio.Reader) error {
	if err := c.conn.SetDeadline(time.Now().Add(timeout / 3)); err != nil {
		return err
	}
	if _, err := fmt.Fprint(c.conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		return err
	}
	response, err := http.ReadResponse(answers, nil)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	_, err = io.Copy(io.Discard, response.Body)
	return err
}
