package userspace

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// partialPrefix marks a request that is being written.
const partialPrefix = "."

// requests returns the MTU of each requested interface.
func requests(dir string) (map[string]int, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("read requests: %w", err)
	}
	wanted := map[string]int{}
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), partialPrefix) {
			continue
		}
		text, err := os.ReadFile(filepath.Join(dir, entry.Name()))
		if errors.Is(err, fs.ErrNotExist) {
			continue // just removed
		}
		if err != nil {
			return nil, fmt.Errorf("read request: %w", err)
		}
		mtu, err := strconv.Atoi(strings.TrimSpace(string(text)))
		if err != nil {
			return nil, fmt.Errorf("read request %s: %w", entry.Name(), err)
		}
		wanted[entry.Name()] = mtu
	}
	return wanted, nil
}

// watchRequests returns a file that becomes readable when requests are written
// or removed. It fails if the host has no inotify instance left (sysctl
// fs.inotify.max_user_instances).
func watchRequests(dir string) (*os.File, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("watch requests: %w", os.NewSyscallError("inotify_init1", err))
	}
	events := os.NewFile(uintptr(fd), "inotify")
	// A request is created by a rename and removed by a deletion.
	const mask = unix.IN_MOVED_TO | unix.IN_MOVED_FROM | unix.IN_DELETE | unix.IN_CLOSE_WRITE | unix.IN_ONLYDIR
	if _, err := unix.InotifyAddWatch(fd, dir, mask); err != nil {
		err = fmt.Errorf("watch %s: %w", dir, os.NewSyscallError("inotify_add_watch", err))
		return nil, errors.Join(err, events.Close())
	}
	return events, nil
}

// notify sends to changed after each event, until events is closed. The content
// of an event does not matter, so that lost events (an overflow event) do no harm.
func notify(events io.Reader, changed chan<- struct{}) {
	buffer := make([]byte, unix.SizeofInotifyEvent+unix.NAME_MAX+1)
	for {
		if _, err := events.Read(buffer); err != nil {
			return
		}
		select {
		case changed <- struct{}{}:
		default:
		}
	}
}
