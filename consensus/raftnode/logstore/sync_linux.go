package logstore

import (
	"errors"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// readByPage keeps the kernel from reading ahead in units of many pages, which a small
// write changes as a whole.
func readByPage(f *os.File) error {
	return os.NewSyscallError("fadvise", unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_RANDOM))
}

// datasync does not write the times of the file, which would be another write to the
// journal of the file system for each batch.
func datasync(f *os.File) error {
	for {
		if err := syscall.Fdatasync(int(f.Fd())); !errors.Is(err, syscall.EINTR) {
			return os.NewSyscallError("fdatasync", err)
		}
	}
}
