package history

import (
	"math/rand/v2"
	"sync"
	"syscall"
	"time"

	"github.com/meshway/meshway/consensus/raftnode"
)

// host is what a member in memory uses of its host: its clocks and its disk, with their
// faults.
type host struct {
	began time.Time

	mu        sync.Mutex // guards all following
	random    *rand.Rand
	ahead     time.Duration // of the time of day
	suspended time.Duration // that no timer has seen
	slow      time.Duration // at most, of a write
	held      time.Duration // at least
	full      bool
	room      int // bytes until the disk is full
}

func newHost(random *rand.Rand) *host { return &host{began: time.Now(), random: random} }

func (h *host) node() raftnode.Host { return raftnode.Host{Elapsed: h.elapsed, Now: h.now, Disk: h} }

func (h *host) now() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return time.Now().Add(h.ahead)
}

func (h *host) elapsed() time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	return time.Since(h.began) + h.suspended
}

// jump sets the time of day.
func (h *host) jump(ahead time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ahead = ahead
}

// suspend lets time pass that no timer has seen.
func (h *host) suspend(d time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.suspended += d
}

// delay makes each write take up to d.
func (h *host) delay(d time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.slow = d
}

// hold makes each write take d.
func (h *host) hold(d time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.held = d
}

// fill leaves room for some bytes on the disk, so that the write that exceeds them is
// torn.
func (h *host) fill(room int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.full, h.room = true, room
}

// free makes room on the disk.
func (h *host) free() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.full = false
}

// Wait implements raftnode.Disk.
func (h *host) Wait() {
	h.mu.Lock()
	wait := h.held
	if h.slow > 0 {
		wait += time.Duration(h.random.Int64N(int64(h.slow)))
	}
	h.mu.Unlock()
	if wait > 0 {
		<-time.After(wait)
	}
}

// Write implements raftnode.Disk.
func (h *host) Write(size int) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case !h.full:
		return size, nil
	case size <= h.room:
		h.room -= size
		return size, nil
	}
	size, h.room = h.room, 0
	return size, syscall.ENOSPC
}

// Sync implements raftnode.Disk.
func (h *host) Sync() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.full && h.room == 0 {
		return syscall.ENOSPC
	}
	return nil
}
