package memnet

import (
	"sync"
	"time"
)

// deadline closes a channel at a point in time.
type deadline struct {
	mu    sync.Mutex // guards all following fields
	timer *time.Timer
	at    chan struct{}
}

func newDeadline() deadline { return deadline{at: make(chan struct{})} }

func (d *deadline) passed() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.at
}

func (d *deadline) set(t time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
	// Each deadline has its own channel. Waiters for the previous one wake up and
	// check again.
	old := d.at
	d.at = make(chan struct{})
	select {
	case <-old:
	default:
		close(old)
	}
	if t.IsZero() {
		return
	}
	at := d.at
	if remaining := time.Until(t); remaining > 0 {
		d.timer = time.AfterFunc(remaining, func() { d.expire(at) })
		return
	}
	close(at)
}

// expire closes at if it is the current channel: set has closed it otherwise.
func (d *deadline) expire(at chan struct{}) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.at != at {
		return
	}
	select {
	case <-at:
	default:
		close(at)
	}
}
