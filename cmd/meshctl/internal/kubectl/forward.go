package kubectl

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"strings"
	"sync/atomic"
)

// LookupTXT requests the TXT records of a name from a DNS server that runs in a pod, by
// TCP through kubectl port-forward. It returns none if the server has no such name. An
// error means that the server did not answer.
func LookupTXT(ctx context.Context, c Cluster, pod, port, name string) ([]string, error) {
	address, stop, err := c.forward(ctx, pod, port)
	if err != nil {
		return nil, err
	}
	defer stop()
	return lookupTXT(ctx, address, name)
}

func lookupTXT(ctx context.Context, server, name string) ([]string, error) {
	answered := new(atomic.Bool)
	resolver := net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		conn, err := d.DialContext(ctx, "tcp", server)
		return answeredConn{conn, answered}, err
	}}
	records, err := resolver.LookupTXT(ctx, name+".")
	if err != nil && !answered.Load() {
		return nil, fmt.Errorf("request %s: %w", name, err)
	}
	return records, nil // also if the server that it forwards to has failed
}

// answeredConn records whether the other side has sent anything: kubectl accepts
// connections to a pod that does not listen.
type answeredConn struct {
	net.Conn
	answered *atomic.Bool
}

func (c answeredConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if n > 0 {
		c.answered.Store(true)
	}
	return n, err
}

// forward forwards a local port to a port of a pod until stop is called.
func (c Cluster) forward(ctx context.Context, pod, port string) (address string, stop func(), err error) {
	ctx, cancel := context.WithCancel(ctx)
	cmd := c.kubectl(ctx, "port-forward", "--address", "127.0.0.1", "pod/"+pod, ":"+port)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdout, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		cancel()
		return "", nil, fmt.Errorf("start kubectl port-forward: %w", err)
	}
	stop = func() {
		cancel()
		_ = cmd.Wait() // it was killed
	}
	lines := bufio.NewScanner(stdout)
	for lines.Scan() { // Forwarding from 127.0.0.1:40123 -> 53
		if _, rest, ok := strings.Cut(lines.Text(), "Forwarding from "); ok {
			address, _, _ = strings.Cut(rest, " ")
			return address, stop, nil
		}
	}
	stop()
	return "", nil, fmt.Errorf("kubectl port-forward to pod %s: %s", pod, kubectlMessage(stderr.String()))
}

// interrupted returns the error of a kubectl process that ended with ctx, or nil.
func interrupted(ctx context.Context, err error) error {
	var exit *exec.ExitError
	if ctx.Err() == nil || !errors.As(err, &exit) {
		return nil
	}
	return context.Cause(ctx)
}
