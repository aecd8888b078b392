//go:build linux

package harness

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

const (
	freezeFS = 0xC0045877 // FIFREEZE
	thawFS   = 0xC0045878 // FITHAW
)

// Disk is a file system of a host that can be full, or not answer. It is ext4 in a
// file, which the kernel releases with the host.
type Disk struct {
	dir     string // from the machine
	ballast string
}

// Disk gives a directory of the host a disk of its own, which is empty.
func (h *Host) Disk(ctx context.Context, dir string, bytes int64) (*Disk, error) {
	image := filepath.Join(h.dir, "disk.ext4")
	err := errors.Join(os.WriteFile(image, nil, 0o600), os.Truncate(image, bytes))
	if err != nil {
		return nil, fmt.Errorf("create disk of %s: %w", h.name, err)
	}
	// No blocks are reserved: meshd is root here, which may use them.
	if _, err := h.Exec(ctx, "mkfs.ext4", "-q", "-m", "0", "-O", "^resize_inode", image); err != nil {
		return nil, fmt.Errorf("format disk of %s: %w", h.name, err)
	}
	if _, err := h.Exec(ctx, "mount", "-o", "loop", image, dir); err != nil {
		return nil, fmt.Errorf("mount disk of %s: %w", h.name, err)
	}
	inside := fmt.Sprintf("/proc/%d/root%s", h.PID(), dir)
	return &Disk{dir: inside, ballast: filepath.Join(inside, "ballast")}, nil
}

// Path returns the path on the machine of a file of the disk.
func (d *Disk) Path(elements ...string) string {
	return filepath.Join(append([]string{d.dir}, elements...)...)
}

// Fill uses up the disk, until Free.
func (d *Disk) Fill() error {
	f, err := os.OpenFile(d.ballast, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("fill disk: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("fill disk: %w", err)
	}
	end := info.Size()
	for step := int64(1 << 20); step >= 1<<10; { // the smallest block
		switch err := unix.Fallocate(int(f.Fd()), 0, end, step); {
		case err == nil:
			end += step
		case errors.Is(err, unix.ENOSPC):
			step /= 2
		case !errors.Is(err, unix.EINTR):
			return fmt.Errorf("fill disk: %w", err)
		}
	}
	return nil
}

// Free removes what Fill wrote.
func (d *Disk) Free() error {
	if err := os.Remove(d.ballast); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("free disk: %w", err)
	}
	return nil
}

// Stall makes the disk not answer for a time: writes wait. It always returns a disk
// that answers.
func (d *Disk) Stall(stall time.Duration) error {
	f, err := os.Open(d.dir)
	if err != nil {
		return fmt.Errorf("stall disk: %w", err)
	}
	defer f.Close()
	if err := unix.IoctlSetInt(int(f.Fd()), freezeFS, 0); err != nil {
		return fmt.Errorf("stall disk: %w", err)
	}
	<-time.After(stall)
	if err := unix.IoctlSetInt(int(f.Fd()), thawFS, 0); err != nil {
		return fmt.Errorf("end the stall of a disk: %w", err)
	}
	return nil
}
