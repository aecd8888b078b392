//go:build linux

package cluster

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// A node's control groups are in one directory of each hierarchy of the machine:
//
//	<hierarchy>/<lab>/<node>              the root in the node's cgroup namespace
//	<hierarchy>/<lab>/<node>/system       containerd, kubelet, kube-proxy
//	<hierarchy>/<lab>/<node>/k8s.io/<id>  containers
//
// A cgroup namespace hides all other groups from the node, as in kind.

const (
	groupsMount = "/sys/fs/cgroup"
	// groupsNamespace is the mount that keeps the node's cgroup namespace while no
	// process is in it.
	groupsNamespace = "/run/cgroup-namespace"
	systemGroup     = "system"
)

// hierarchy is a control group file system of the machine.
type hierarchy struct {
	mount   string // where it is mounted
	kind    string // "cgroup" (version 1) or "cgroup2"
	options string // the controllers, for version 1
	own     string // the directory of this process's group
}

// hierarchies returns the mounted hierarchies with the groups of this process.
func hierarchies() ([]hierarchy, error) {
	mounts, err := os.ReadFile("/proc/thread-self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("read mounts: %w", err)
	}
	groups, err := os.ReadFile("/proc/thread-self/cgroup")
	if err != nil {
		return nil, fmt.Errorf("read own control groups: %w", err)
	}
	return parseHierarchies(string(mounts), string(groups)), nil
}

// parseHierarchies parses mountinfo and cgroup files, see proc(5) and cgroups(7).
func parseHierarchies(mounts, groups string) []hierarchy {
	own := make(map[string]string) // by controllers; version 2: ""
	for line := range strings.Lines(groups) {
		if fields := strings.SplitN(strings.TrimSpace(line), ":", 3); len(fields) == 3 {
			own[fields[1]] = fields[2]
		}
	}
	var found []hierarchy
	for line := range strings.Lines(mounts) {
		before, after, ok := strings.Cut(line, " - ")
		place, kind := strings.Fields(before), strings.Fields(after)
		if !ok || len(place) < 5 || len(kind) < 3 || !strings.HasPrefix(place[4], groupsMount) {
			continue
		}
		h := hierarchy{mount: place[4], kind: kind[0]}
		switch h.kind {
		case "cgroup2":
			// In version 2 only the root may have both processes and child groups.
			h.own = h.mount
		case "cgroup":
			h.options = strings.TrimPrefix(strings.TrimPrefix(kind[2], "rw"), ",")
			h.own = filepath.Join(h.mount, own[h.options])
		default:
			continue
		}
		found = append(found, h)
	}
	return found
}

// makeGroup creates nested groups below the process's own and returns the
// directory of the last one.
func (h hierarchy) makeGroup(path ...string) (string, error) {
	dir := h.own
	for _, name := range path {
		if err := h.delegate(dir); err != nil {
			return "", err
		}
		parent := dir
		dir = filepath.Join(dir, name)
		if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return "", fmt.Errorf("create control group: %w", err)
		}
		if err := inheritCPUs(parent, dir); err != nil {
			return "", err
		}
	}
	return dir, nil
}

// delegate enables a group's controllers for its child groups. Version 1 has no
// delegation.
func (h hierarchy) delegate(dir string) error {
	if h.kind != "cgroup2" {
		return nil
	}
	controllers, err := os.ReadFile(filepath.Join(dir, "cgroup.controllers"))
	if err != nil {
		return fmt.Errorf("read controllers: %w", err)
	}
	for _, name := range strings.Fields(string(controllers)) {
		if err := os.WriteFile(filepath.Join(dir, "cgroup.subtree_control"), []byte("+"+name), 0o644); err != nil {
			return fmt.Errorf("delegate controller %s: %w", name, err)
		}
	}
	return nil
}

// inheritCPUs copies the processors and memory nodes of a version 1 cpuset group
// from its parent, since a group without them accepts no processes. Version 2
// inherits them.
func inheritCPUs(parent, dir string) error {
	for _, name := range []string{"cpuset.cpus", "cpuset.mems"} {
		content, err := os.ReadFile(filepath.Join(parent, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("read processors: %w", err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o644); err != nil {
			return fmt.Errorf("inherit processors: %w", err)
		}
	}
	return nil
}

// runGroups creates the node's groups and their namespace, which it mounts at
// groupsNamespace. It runs in the node. The calling thread must be locked.
func runGroups(args []string) error {
	if len(args) != 2 {
		return fmt.Errorf("expected LAB NODE, got %q", args)
	}
	found, err := hierarchies()
	if err != nil {
		return err
	}
	for _, h := range found {
		dir, err := h.makeGroup(args[0], args[1])
		if err != nil {
			return err
		}
		// The group of the process becomes the root of the namespace.
		if err := os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte("0"), 0o644); err != nil {
			return fmt.Errorf("enter control group %s: %w", dir, err)
		}
	}
	if err := unix.Unshare(unix.CLONE_NEWCGROUP); err != nil {
		return fmt.Errorf("create cgroup namespace: %w", err)
	}
	if err := os.WriteFile(groupsNamespace, nil, 0o600); err != nil {
		return fmt.Errorf("create mount point of the cgroup namespace: %w", err)
	}
	if err := unix.Mount("/proc/thread-self/ns/cgroup", groupsNamespace, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("mount cgroup namespace: %w", err)
	}
	return mountGroups(found)
}

// mountGroups mounts a /sys of the node's network namespace with the node's
// control groups.
func mountGroups(found []hierarchy) error {
	const flags = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC
	if err := unix.Mount("sysfs", "/sys", "sysfs", flags, ""); err != nil {
		return fmt.Errorf("mount /sys: %w", err)
	}
	if len(found) > 0 && found[0].mount != groupsMount {
		if err := unix.Mount("tmpfs", groupsMount, "tmpfs", flags, "mode=755"); err != nil {
			return fmt.Errorf("mount %s: %w", groupsMount, err)
		}
	}
	for _, h := range found {
		if err := os.MkdirAll(h.mount, 0o755); err != nil {
			return fmt.Errorf("create %s: %w", h.mount, err)
		}
		if err := unix.Mount(h.kind, h.mount, h.kind, flags, h.options); err != nil {
			return fmt.Errorf("mount %s: %w", h.mount, err)
		}
	}
	return nil
}

// runExec enters the node's control groups and executes a program. The calling
// thread must be locked, because the thread that entered the namespaces must be
// the one that executes the program.
func runExec(argv []string) error {
	if len(argv) == 0 {
		return errors.New("expected a program")
	}
	found, err := hierarchies()
	if err != nil {
		return err
	}
	for _, h := range found {
		h.own = h.mount // the node's root group
		dir, err := h.makeGroup(systemGroup)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte("0"), 0o644); err != nil {
			return fmt.Errorf("enter control group %s: %w", dir, err)
		}
	}
	namespace, err := os.Open(groupsNamespace)
	if err != nil {
		return fmt.Errorf("open cgroup namespace: %w", err)
	}
	defer namespace.Close()
	if err := unix.Setns(int(namespace.Fd()), unix.CLONE_NEWCGROUP); err != nil {
		return fmt.Errorf("enter cgroup namespace: %w", err)
	}
	return fmt.Errorf("run %s: %w", argv[0], unix.Exec(argv[0], argv, os.Environ()))
}

// removeGroups removes a lab's groups from the machine. It retries while groups
// are busy, since the kernel empties them some time after their last process has
// exited.
func removeGroups(lab string) error {
	found, err := hierarchies()
	if err != nil {
		return err
	}
	deadline := time.Now().Add(5 * time.Second)
	var errs []error
	for _, h := range found {
		dir := filepath.Join(h.own, lab)
		err := removeTree(dir)
		for ; errors.Is(err, unix.EBUSY) && time.Now().Before(deadline); err = removeTree(dir) {
			<-time.After(20 * time.Millisecond)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// removeTree removes a group and all groups below it. The kernel removes the
// files of a group with its directory.
func removeTree(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if entry.IsDir() {
			if err := removeTree(filepath.Join(dir, entry.Name())); err != nil {
				return err
			}
		}
	}
	return os.Remove(dir)
}
