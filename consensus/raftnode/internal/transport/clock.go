package transport

import "time"

// NewClock returns a clock that counts the time in which the host is suspended,
// other than the monotonic clock of Go.
func NewClock() func() time.Duration {
	began, before := time.Now(), suspended()
	return func() time.Duration { return time.Since(began) + suspended() - before }
}
