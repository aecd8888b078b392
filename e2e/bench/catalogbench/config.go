//go:build linux

package catalogbench

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Config configures the measurements.
type Config struct {
	Rounds  int           // of each measurement, at least 1
	Span    time.Duration // of one measurement in one round
	Delay   time.Duration // one way between the members in the measurement "wan"
	Only    []string      // subset of Measurements; empty: all
	Dir     string        // of all data, on the disk that is measured
	Bin     string        // directory of meshd and meshctl, for "socket"
	Profile string        // directory for processor profiles of the members; empty: none
}

// DefaultConfig returns the configuration of `make bench-catalog`.
func DefaultConfig() Config {
	return Config{Rounds: 3, Span: 2 * time.Second, Delay: 50 * time.Millisecond, Bin: "bin"}
}

// Measurements returns the names of all measurements, in the order of execution.
func Measurements() []string { return []string{"lan", "wan", "cost", "restart", "socket"} }

// Validate returns an error if c has unknown measurements or invalid numbers.
func (c Config) Validate() error {
	for _, name := range c.Only {
		if !slices.Contains(Measurements(), name) {
			return fmt.Errorf("there is no measurement %q: use a subset of %s", name, strings.Join(Measurements(), ","))
		}
	}
	if c.Rounds < 1 || c.Span <= 0 || c.Delay <= 0 {
		return errors.New("rounds and durations must be positive")
	}
	return nil
}
