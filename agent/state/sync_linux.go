package state

import (
	"errors"
	"os"
	"syscall"
)

// datasync does not write the times of the file, which would be another write to the
// journal of the file system for each update.
func datasync(f *os.File) error {
	for {
		if err := syscall.Fdatasync(int(f.Fd())); !errors.Is(err, syscall.EINTR) {
			return os.NewSyscallError("fdatasync", err)
		}
	}
}
