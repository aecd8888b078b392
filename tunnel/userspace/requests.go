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

// requests are the MTUs of the interfaces that should exist.
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
			continue // just taken back
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

// watchRequests opens what tells of requests that are made and taken back. It
// fails where the host has no inotify instance left (sysctl
// fs.inotify.max_user_instances).
func watchRequests(dir string) (*os.File, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("watch requests: %w", os.NewSyscallError("inotify_init1", err))
	}
	events := os.NewFile(uintptr(fd), "inotify")
	// A request appears by being renamed, and goes by being deleted.
	const mask = unix.IN_MOVED_TO | unix.IN_MOVED_FROM | unix.IN_DELETE | unix.IN_CLOSE_WRITE | unix.IN_ONLYDIR
	if _, err := unix.InotifyAddWatch(fd, dir, mask); err != nil {
		err = fmt.Errorf("watch %s: %w", dir, os.NewSyscallError("inotify_add_watch", err))
		return nil, errors.Join(err, events.Close())
	}
	return events, nil
}

// notify passes on that something happened, until events is closed. What it was
// does not matter, and that events were lost is an event, too.
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
