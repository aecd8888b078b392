//go:build linux

package harness

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"time"
)

const (
	requestTimeout = 5 * time.Second
	echoTimeout    = 2 * time.Second // for datagrams that are outstanding at Stop
)

// Get sends an HTTP request to a server over a new connection and returns its
// answer.
func (h *Host) Get(ctx context.Context, server netip.AddrPort) (Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	client := &http.Client{Transport: &http.Transport{DialContext: h.DialContext, DisableKeepAlives: true}}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+server.String()+"/", nil)
	if err != nil {
		return Answer{}, err
	}
	response, err := client.Do(request)
	if err != nil {
		return Answer{}, fmt.Errorf("%s: %w", h.name, err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return Answer{}, fmt.Errorf("%s: get %s: %s", h.name, server, response.Status)
	}
	var answer Answer
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		return Answer{}, fmt.Errorf("%s: decode answer of %s: %w", h.name, server, err)
	}
	return answer, nil
}

// Report is the result of a stream of requests or datagrams.
type Report struct {
	Sent, Answered int
	MaxLatency     time.Duration // of an answer
	Err            error         // the first one, nil if there was none
	Unanswered     []time.Time   // when the datagrams were sent that had no answer at the end
}

// Lost returns how many requests or datagrams were not answered.
func (r Report) Lost() int { return r.Sent - r.Answered }

// Traffic is a stream of requests or datagrams from a host.
type Traffic struct {
	cancel context.CancelFunc
	done   sync.WaitGroup

	mu     sync.Mutex // guards all following fields
	report Report
}

// Report returns the result so far. Outstanding requests count as sent.
func (t *Traffic) Report() Report {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.report
}

// Stop ends the stream, waits for outstanding answers, and returns the result.
func (t *Traffic) Stop() Report {
	t.cancel()
	t.done.Wait()
	return t.Report()
}

func (t *Traffic) sent() (n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.report.Sent++
	return t.report.Sent
}

func (t *Traffic) answered(after time.Duration, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err != nil {
		if t.report.Err == nil {
			t.report.Err = err
		}
		return
	}
	t.report.Answered++
	t.report.MaxLatency = max(t.report.MaxLatency, after)
}

// Requests sends HTTP requests until Stop is called or ctx is done. Each uses
// a new connection and none waits for the answer to another.
func (h *Host) Requests(ctx context.Context, server netip.AddrPort, interval time.Duration) *Traffic {
	t := &Traffic{}
	sending, cancel := context.WithCancel(ctx)
	t.cancel = cancel
	t.done.Go(func() {
		tick(sending, interval, func() {
			t.sent()
			t.done.Go(func() {
				start := time.Now()
				// ctx, not sending: Stop lets outstanding requests finish.
				_, err := h.Get(ctx, server)
				t.answered(time.Since(start), err)
			})
		})
	})
	return t
}

// Datagrams sends numbered UDP datagrams to a server that echoes them, until
// Stop is called or ctx is done. Lost datagrams are not sent again.
func (h *Host) Datagrams(ctx context.Context, server netip.AddrPort, interval time.Duration) (*Traffic, error) {
	conn, err := h.DialContext(ctx, "udp", server.String())
	if err != nil {
		return nil, err
	}
	t := &Traffic{}
	sending, cancel := context.WithCancel(ctx)
	t.cancel = cancel
	outstanding := &outstanding{sent: make(map[uint32]time.Time)}
	t.done.Go(func() {
		tick(sending, interval, func() { t.sendDatagram(conn, outstanding) })
		timeout := echoTimeout
		if outstanding.end() {
			timeout = 0
		}
		_ = conn.SetReadDeadline(time.Now().Add(timeout)) // fails if the connection is closed already
	})
	t.done.Go(func() {
		defer conn.Close()
		t.receiveDatagrams(conn, outstanding)
	})
	return t, nil
}

// outstanding holds the datagrams that are not answered yet.
type outstanding struct {
	mu    sync.Mutex           // guards all following fields
	sent  map[uint32]time.Time // by number
	ended bool                 // none is added from now on
}

func (o *outstanding) add(number uint32) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.sent[number] = time.Now()
}

// remove returns when a datagram was sent, reports whether it was outstanding,
// and whether the stream is complete: it has ended and none is outstanding.
func (o *outstanding) remove(number uint32) (sent time.Time, ok, complete bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	sent, ok = o.sent[number]
	delete(o.sent, number)
	return sent, ok, o.ended && len(o.sent) == 0
}

// end states that no datagram follows and reports whether none is outstanding.
func (o *outstanding) end() (complete bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.ended = true
	return len(o.sent) == 0
}

// times returns when the outstanding datagrams were sent, in order.
func (o *outstanding) times() []time.Time {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.SortedFunc(maps.Values(o.sent), time.Time.Compare)
}

func (t *Traffic) sendDatagram(conn net.Conn, outstanding *outstanding) {
	number := uint32(t.sent())
	outstanding.add(number)
	// Write may return the ICMP error of an earlier datagram and then sends nothing.
	if _, err := conn.Write(binary.BigEndian.AppendUint32(nil, number)); err != nil {
		t.answered(0, err)
	}
}

func (t *Traffic) receiveDatagrams(conn net.Conn, outstanding *outstanding) {
	defer func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.report.Unanswered = outstanding.times()
	}()
	buffer := make([]byte, 64)
	for {
		n, err := conn.Read(buffer)
		if errors.Is(err, net.ErrClosed) || errors.Is(err, context.DeadlineExceeded) || isTimeout(err) {
			return
		}
		if err != nil || n != 4 {
			continue // an ICMP error: the datagram stays outstanding and counts as lost
		}
		sent, ok, complete := outstanding.remove(binary.BigEndian.Uint32(buffer))
		if ok {
			t.answered(time.Since(sent), nil)
		}
		if complete {
			return
		}
	}
}

func isTimeout(err error) bool {
	timeout, ok := errors.AsType[net.Error](err)
	return ok && timeout.Timeout()
}

// tick calls f immediately and then after every interval until ctx is done.
func tick(ctx context.Context, interval time.Duration, f func()) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for ctx.Err() == nil {
		f()
		select {
		case <-ctx.Done():
		case <-ticker.C:
		}
	}
}
