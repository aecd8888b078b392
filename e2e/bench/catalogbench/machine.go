//go:build linux

package catalogbench

import (
	"fmt"
	"runtime"

	"golang.org/x/sys/unix"
)

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
