//go:build linux

package harness

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"golang.org/x/sys/unix"
)

// dirPattern names the directories of labs, so that Sweep knows them.
const dirPattern = "meshway-lab-*"

// Lab is a set of hosts. All of it vanishes with the process that made it,
// however that ends: only the directory stays then, for Sweep.
type Lab struct {
	dir  string
	lock *os.File
	log  *slog.Logger

	mu    sync.Mutex // guards all following fields
	hosts map[string]*Host
}

// NewLab makes a lab with a directory of its own below base; an empty base
// means the system's directory for temporary files. A nil log discards.
func NewLab(base string, log *slog.Logger) (*Lab, error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("make network namespaces: root is needed")
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	dir, err := os.MkdirTemp(base, dirPattern)
	if err != nil {
		return nil, fmt.Errorf("make lab directory: %w", err)
	}
	lock, err := lockDir(dir)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return &Lab{dir: dir, lock: lock, log: log, hosts: make(map[string]*Host)}, nil
}

// Dir is where the lab keeps logs and the hosts' files.
func (l *Lab) Dir() string { return l.dir }

// Hosts returns all hosts, sorted by name.
func (l *Lab) Hosts() []*Host {
	l.mu.Lock()
	defer l.mu.Unlock()
	var hosts []*Host
	for _, name := range slices.Sorted(maps.Keys(l.hosts)) {
		hosts = append(hosts, l.hosts[name])
	}
	return hosts
}

// Host starts a host. Its name becomes its host name and must be unique in the lab.
func (l *Lab) Host(ctx context.Context, name string) (*Host, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, taken := l.hosts[name]; taken {
		return nil, fmt.Errorf("start host %s: there is one of this name", name)
	}
	host, err := startHost(ctx, name, filepath.Join(l.dir, name), l.log.With("host", name))
	if err != nil {
		return nil, fmt.Errorf("start host %s: %w", name, err)
	}
	l.hosts[name] = host
	return host, nil
}

// Close ends all hosts with everything that runs in them and removes the
// lab's directory.
func (l *Lab) Close() error {
	var errs []error
	for _, host := range l.Hosts() {
		errs = append(errs, host.Close())
	}
	errs = append(errs, os.RemoveAll(l.dir), l.lock.Close())
	return errors.Join(errs...)
}

// Sweep removes the directories of labs below base whose process was killed.
// A lab that is in use holds a lock and is left alone. It returns what it removed.
func Sweep(base string) ([]string, error) {
	if base == "" {
		base = os.TempDir()
	}
	dirs, err := filepath.Glob(filepath.Join(base, dirPattern))
	if err != nil {
		return nil, fmt.Errorf("look for old labs: %w", err)
	}
	var removed []string
	var errs []error
	for _, dir := range dirs {
		lock, err := lockDir(dir)
		if errors.Is(err, unix.EWOULDBLOCK) || errors.Is(err, fs.ErrNotExist) {
			continue // in use, or its owner is removing it just now
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		errs = append(errs, os.RemoveAll(dir), lock.Close())
		removed = append(removed, dir)
	}
	return removed, errors.Join(errs...)
}

// lockDir takes the lock of a lab's directory. The kernel gives it up when
// the process ends. The directory itself is locked, so that there is no
// moment at which it exists and cannot be locked.
func lockDir(dir string) (*os.File, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("open lab directory: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", dir, err), f.Close())
	}
	return f, nil
}
