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

// dirPattern matches the directories of labs, for Sweep.
const dirPattern = "meshway-lab-*"

// Lab is a set of hosts. When the process that created it exits without Close,
// the kernel removes the hosts and their links; only the directory remains,
// for Sweep.
type Lab struct {
	dir  string
	lock *os.File
	log  *slog.Logger

	mu    sync.Mutex // guards all following fields
	hosts map[string]*Host
}

// NewLab creates a lab with a directory of its own below base; an empty base
// means the system's directory for temporary files. With a nil log, log
// messages are discarded.
func NewLab(base string, log *slog.Logger) (*Lab, error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("create network namespaces: root is required")
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	dir, err := os.MkdirTemp(base, dirPattern)
	if err != nil {
		return nil, fmt.Errorf("create lab directory: %w", err)
	}
	lock, err := lockDir(dir)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return &Lab{dir: dir, lock: lock, log: log, hosts: make(map[string]*Host)}, nil
}

// Dir returns the directory of the logs and the hosts' files.
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

// Host starts a host. The name becomes its host name and must be unique in the lab.
func (l *Lab) Host(ctx context.Context, name string) (*Host, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, exists := l.hosts[name]; exists {
		return nil, fmt.Errorf("start host %s: a host of this name exists", name)
	}
	host, err := startHost(ctx, name, filepath.Join(l.dir, name), l.log.With("host", name))
	if err != nil {
		return nil, fmt.Errorf("start host %s: %w", name, err)
	}
	l.hosts[name] = host
	return host, nil
}

// Close closes all hosts and removes the lab's directory.
func (l *Lab) Close() error {
	var errs []error
	for _, host := range l.Hosts() {
		errs = append(errs, host.Close())
	}
	errs = append(errs, os.RemoveAll(l.dir), l.lock.Close())
	return errors.Join(errs...)
}

// Sweep removes the directories below base of labs whose process was killed,
// and returns them. It skips a lab that is in use, which holds a lock.
func Sweep(base string) ([]string, error) {
	if base == "" {
		base = os.TempDir()
	}
	dirs, err := filepath.Glob(filepath.Join(base, dirPattern))
	if err != nil {
		return nil, fmt.Errorf("list lab directories: %w", err)
	}
	var removed []string
	var errs []error
	for _, dir := range dirs {
		lock, err := lockDir(dir)
		if errors.Is(err, unix.EWOULDBLOCK) || errors.Is(err, fs.ErrNotExist) {
			continue // in use, or just removed by its owner
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

// lockDir locks a lab's directory. The kernel releases the lock when the
// process exits. The directory itself is locked instead of a file in it,
// which would not exist yet when the directory is created.
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
