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

// A node's control groups lie in one directory of each hierarchy of the machine:
//
//	<hierarchy>/<lab>/<node>              the root that the node sees
//	<hierarchy>/<lab>/<node>/system       containerd, kubelet, kube-proxy
//	<hierarchy>/<lab>/<node>/k8s.io/<id>  containers
//
// The node sees only its own, by a cgroup namespace, as a node of kind does.

const (
	groupsMount = "/sys/fs/cgroup"
	// groupsNamespace keeps the node's cgroup namespace while no process is in it.
	groupsNamespace = "/run/cgroup-namespace"
	systemGroup     = "system"
)

// hierarchy is a control group file system of the machine.
type hierarchy struct {
	mount   string // where it is mounted
	kind    string // "cgroup" (version 1) or "cgroup2"
	options string // which controllers, for version 1
	own     string // the directory that this process is in, as a path
}

// hierarchies reads where control groups are mounted, and which this process is in.
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

// parseHierarchies reads mountinfo and cgroup as proc(5) and cgroups(7) describe them.
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
			// Processes and groups may not be side by side in version 2: the root may.
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

// makeGroup makes a group and the groups above it, down from the process's own.
func (h hierarchy) makeGroup(path ...string) (string, error) {
	dir := h.own
	for _, name := range path {
		if err := h.delegate(dir); err != nil {
			return "", err
		}
		parent := dir
		dir = filepath.Join(dir, name)
		if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return "", fmt.Errorf("make control group: %w", err)
		}
		if err := inheritCPUs(parent, dir); err != nil {
			return "", err
		}
	}
	return dir, nil
}

// delegate gives a group's controllers to the groups below it (version 2).
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

// inheritCPUs does for version 1 what version 2 does by itself: a cpuset group
// takes no process before it has processors.
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

// runGroups makes the node's groups and its view of them. It runs in the node
// and ends: the namespace stays, by its mount. The calling thread is locked.
func runGroups(args []string) error {
	if len(args) != 2 {
		return fmt.Errorf("want LAB NODE, have %q", args)
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
		// Into the group itself: it becomes the root of what the namespace shows.
		if err := os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte("0"), 0o644); err != nil {
			return fmt.Errorf("enter control group %s: %w", dir, err)
		}
	}
	if err := unix.Unshare(unix.CLONE_NEWCGROUP); err != nil {
		return fmt.Errorf("make cgroup namespace: %w", err)
	}
	if err := os.WriteFile(groupsNamespace, nil, 0o600); err != nil {
		return fmt.Errorf("make place for cgroup namespace: %w", err)
	}
	if err := unix.Mount("/proc/thread-self/ns/cgroup", groupsNamespace, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("keep cgroup namespace: %w", err)
	}
	return mountGroups(found)
}

// mountGroups mounts /sys as the node's network namespace has it, with the
// node's control groups in it.
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
			return fmt.Errorf("make %s: %w", h.mount, err)
		}
		if err := unix.Mount(h.kind, h.mount, h.kind, flags, h.options); err != nil {
			return fmt.Errorf("mount %s: %w", h.mount, err)
		}
	}
	return nil
}

// runExec moves itself into the node's control groups and becomes the program.
// The calling thread is locked: what enters the namespace is what becomes the program.
func runExec(argv []string) error {
	if len(argv) == 0 {
		return errors.New("want a program")
	}
	found, err := hierarchies()
	if err != nil {
		return err
	}
	for _, h := range found {
		h.own = h.mount // the node's root, as mounted in the node
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

// removeGroups removes a lab's groups from the machine. The kernel empties
// them shortly after the last process has ended: until then it is tried again.
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

// removeTree removes groups from the bottom up. Their files vanish with them.
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
