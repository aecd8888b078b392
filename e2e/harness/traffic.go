//go:build linux

package harness

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"
)

const (
	requestTimeout = 5 * time.Second
	echoTimeout    = 2 * time.Second // how long Stop waits for datagrams under way
)

// Get asks a server, over a connection of its own, what it sees of the host.
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
		return Answer{}, fmt.Errorf("%s: read answer of %s: %w", h.name, server, err)
	}
	return answer, nil
}

// Report is what became of a stream of requests or datagrams.
type Report struct {
	Sent, Answered int
	Longest        time.Duration // until an answer
	Err            error         // the first
}

// Lost counts what was not answered.
func (r Report) Lost() int { return r.Sent - r.Answered }

// Traffic is a stream of requests or datagrams from a host.
type Traffic struct {
	cancel context.CancelFunc
	done   sync.WaitGroup

	mu     sync.Mutex // guards all following fields
	report Report
}

// Report says what became of the stream so far; what is under way counts as sent.
func (t *Traffic) Report() Report {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.report
}

// Stop ends the stream, waits for what is under way, and reports.
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
	t.report.Longest = max(t.report.Longest, after)
}

// Requests sends HTTP requests, each over a connection of its own and without
// waiting for the one before, until Stop or the end of ctx.
func (h *Host) Requests(ctx context.Context, server netip.AddrPort, every time.Duration) *Traffic {
	t := &Traffic{}
	until, cancel := context.WithCancel(ctx)
	t.cancel = cancel
	t.done.Go(func() {
		tick(until, every, func() {
			t.sent()
			t.done.Go(func() {
				start := time.Now()
				// ctx, not until: a request under way is finished.
				_, err := h.Get(ctx, server)
				t.answered(time.Since(start), err)
			})
		})
	})
	return t
}

// Datagrams sends numbered UDP datagrams, which nobody sends again, to a
// server that echoes them, until Stop or the end of ctx.
func (h *Host) Datagrams(ctx context.Context, server netip.AddrPort, every time.Duration) (*Traffic, error) {
	conn, err := h.DialContext(ctx, "udp", server.String())
	if err != nil {
		return nil, err
	}
	t := &Traffic{}
	until, cancel := context.WithCancel(ctx)
	t.cancel = cancel
	times := &sentTimes{at: make(map[uint32]time.Time)}
	t.done.Go(func() {
		tick(until, every, func() { t.sendDatagram(conn, times) })
		_ = conn.SetReadDeadline(time.Now().Add(echoTimeout)) // a closed one fails at once
	})
	t.done.Go(func() {
		defer conn.Close()
		t.receiveDatagrams(until, conn, times)
	})
	return t, nil
}

type sentTimes struct {
	mu sync.Mutex // guards all following fields
	at map[uint32]time.Time
}

func (t *Traffic) sendDatagram(conn net.Conn, times *sentTimes) {
	number := uint32(t.sent())
	times.mu.Lock()
	times.at[number] = time.Now()
	times.mu.Unlock()
	// A refusal of an earlier datagram shows here: that one is lost.
	if _, err := conn.Write(binary.BigEndian.AppendUint32(nil, number)); err != nil {
		t.answered(0, err)
	}
}

func (t *Traffic) receiveDatagrams(until context.Context, conn net.Conn, times *sentTimes) {
	buffer := make([]byte, 64)
	for {
		n, err := conn.Read(buffer)
		if errors.Is(err, net.ErrClosed) || errors.Is(err, context.DeadlineExceeded) || isTimeout(err) {
			return
		}
		if err != nil || n != 4 {
			continue // an ICMP error: the datagram is missed
		}
		if t.takeDatagram(binary.BigEndian.Uint32(buffer), times) && until.Err() != nil {
			return
		}
	}
}

// takeDatagram counts an echo once, and says whether none is missing.
func (t *Traffic) takeDatagram(number uint32, times *sentTimes) (complete bool) {
	times.mu.Lock()
	sent, ok := times.at[number]
	delete(times.at, number)
	complete = len(times.at) == 0
	times.mu.Unlock()
	if ok {
		t.answered(time.Since(sent), nil)
	}
	return complete
}

func isTimeout(err error) bool {
	timeout, ok := errors.AsType[net.Error](err)
	return ok && timeout.Timeout()
}

// tick calls f at once and then at every tick until ctx ends.
func tick(ctx context.Context, every time.Duration, f func()) {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for ctx.Err() == nil {
		f()
		select {
		case <-ctx.Done():
		case <-ticker.C:
		}
	}
}
