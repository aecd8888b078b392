package transport

import (
	"time"

	"golang.org/x/sys/unix"
)

// suspended returns how long the host has been suspended since it started, rounded
// to 10 ms: the difference between CLOCK_BOOTTIME and CLOCK_MONOTONIC
// (clock_gettime(2)). The two are read again if the process was interrupted between
// them.
func suspended() time.Duration {
	for {
		before, boot, after := gettime(unix.CLOCK_MONOTONIC), gettime(unix.CLOCK_BOOTTIME), gettime(unix.CLOCK_MONOTONIC)
		if after-before < time.Millisecond {
			return (boot - before).Truncate(10 * time.Millisecond)
		}
	}
}

// gettime returns the time of a clock that exists on all versions of Linux.
func gettime(clock int32) time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(clock, &t); err != nil {
		return 0
	}
	return time.Duration(t.Nano())
}
