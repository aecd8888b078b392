//go:build linux

package harness

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"sync"
	"time"
)

// Flow is one TCP connection on which a host sends data to a server and receives
// it back.
type Flow struct {
	cancel context.CancelFunc
	done   sync.WaitGroup

	mu       sync.Mutex // guards all following fields
	last     time.Time  // when data was received last
	longest  time.Duration
	received int
	err      error
}

// Flow sends bytes to a server over a new connection, the given number after
// every interval, until Stop is called or ctx is done. It returns when the first
// bytes are back.
func (h *Host) Flow(ctx context.Context, server netip.AddrPort, bytes int, interval time.Duration) (*Flow, error) {
	sending, cancel := context.WithCancel(ctx)
	f := &Flow{cancel: cancel}
	body, data := io.Pipe()
	f.done.Go(func() {
		chunk := make([]byte, bytes)
		tick(sending, interval, func() { _, _ = data.Write(chunk) }) // an error is that of the response
		_ = data.CloseWithError(sending.Err())
	})
	response, err := h.echo(sending, server, body)
	if err == nil {
		_, err = io.ReadFull(response, make([]byte, 1))
	}
	if err != nil {
		cancel()
		_ = body.CloseWithError(err)
		f.done.Wait()
		return nil, fmt.Errorf("%s: %w", h.name, err)
	}
	f.last = time.Now()
	f.done.Go(func() { f.receive(sending, response) })
	return f, nil
}

func (f *Flow) receive(ctx context.Context, response io.ReadCloser) {
	defer response.Close()
	buffer := make([]byte, 64<<10)
	for ctx.Err() == nil {
		n, err := response.Read(buffer)
		f.mu.Lock()
		if ctx.Err() == nil {
			f.err = err
		}
		if n > 0 {
			f.longest, f.last = max(f.longest, time.Since(f.last)), time.Now()
			f.received += n
		}
		f.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// Received returns how many bytes were received.
func (f *Flow) Received() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.received
}

// LongestPause returns the longest time without received data, up to now.
func (f *Flow) LongestPause() time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	return max(f.longest, time.Since(f.last))
}

// Stop closes the connection. It returns an error if the connection ended before.
func (f *Flow) Stop() error {
	f.cancel()
	f.done.Wait()
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}

// Exchange sends a number of bytes to a server over a new connection, receives
// them back, and returns how long that took.
func (h *Host) Exchange(ctx context.Context, server netip.AddrPort, bytes int) (time.Duration, error) {
	began := time.Now()
	response, err := h.echo(ctx, server, io.LimitReader(zeros{}, int64(bytes)))
	if err != nil {
		return 0, fmt.Errorf("%s: %w", h.name, err)
	}
	defer response.Close()
	n, err := io.Copy(io.Discard, response)
	if err == nil && n != int64(bytes) {
		err = errors.New("the connection ended early")
	}
	if err != nil {
		return 0, fmt.Errorf("%s: received %d of %d bytes after %v: %w", h.name, n, bytes, time.Since(began), err)
	}
	return time.Since(began), nil
}

// echo sends a request whose body the server returns.
func (h *Host) echo(ctx context.Context, server netip.AddrPort, body io.Reader) (io.ReadCloser, error) {
	client := &http.Client{Transport: &http.Transport{DialContext: h.DialContext, DisableKeepAlives: true}}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+server.String()+echoPath, body)
	if err != nil {
		return nil, err
	}
	response, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		return nil, errors.Join(errors.New(response.Status), response.Body.Close())
	}
	return response.Body, nil
}

// zeros is an endless stream of zero bytes.
type zeros struct{}

func (zeros) Read(b []byte) (int, error) {
	clear(b)
	return len(b), nil
}
