//go:build linux

// Package benchmark has what the benchmarks share: medians, and a description of the
// machine. Product code never imports it.
package benchmark

import (
	"fmt"
	"runtime"
	"slices"

	"golang.org/x/sys/unix"
)

// Median returns the median of values, of which there must be at least one.
func Median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	last := len(sorted) - 1
	return (sorted[last/2] + sorted[len(sorted)/2]) / 2
}

// Machine describes the processors, memory and kernel of this machine, and its load,
// which shows whether results are affected by other programs.
func Machine() (string, error) {
	var info unix.Sysinfo_t
	var name unix.Utsname
	if err := unix.Sysinfo(&info); err != nil {
		return "", fmt.Errorf("read system information: %w", err)
	}
	if err := unix.Uname(&name); err != nil {
		return "", fmt.Errorf("read kernel version: %w", err)
	}
	const loads = 1 << 16 // SI_LOAD_SHIFT, sysinfo(2)
	return fmt.Sprintf("%d CPUs %s, %d GiB, Linux %s, load %.1f", runtime.NumCPU(), runtime.GOARCH,
		info.Totalram*uint64(info.Unit)>>30, unix.ByteSliceToString(name.Release[:]), float64(info.Loads[0])/loads), nil
}
