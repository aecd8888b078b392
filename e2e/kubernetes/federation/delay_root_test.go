//go:build linux && root

package federation_test

import (
	"fmt"
	"os"
	"strings"
	"time"
)

// delayInterval is the interval at which the delay of this process is measured.
const delayInterval = 10 * time.Millisecond

// measureDelay measures how late the timers of this process are. The returned function
// ends it and returns the longest delay, when it was, and the load of the machine: a
// request that takes that long to be sent has not been lost by Meshway.
func measureDelay() (stop func() string) {
	quit, result := make(chan struct{}), make(chan string)
	go func() {
		var longest time.Duration
		at, last := time.Now(), time.Now()
		tick := time.NewTicker(delayInterval)
		defer tick.Stop()
		for {
			select {
			case <-quit:
				load, _ := os.ReadFile("/proc/loadavg") // Linux always has it
				result <- fmt.Sprintf("the longest delay of a timer was %s, at %s; load %s",
					longest.Round(time.Millisecond), at.Format(time.TimeOnly), strings.TrimSpace(string(load)))
				return
			case <-tick.C:
				now := time.Now()
				if delay := now.Sub(last) - delayInterval; delay > longest {
					longest, at = delay, now
				}
				last = now
			}
		}
	}()
	return func() string {
		close(quit)
		return <-result
	}
}
