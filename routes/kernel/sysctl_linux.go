package kernel

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/meshway/meshway/routes"
)

// Sysctls reads settings, sorted by key; those that do not exist are left out.
func (k *Kernel) Sysctls(_ context.Context, keys []string) ([]routes.Sysctl, error) {
	var found []routes.Sysctl
	for _, key := range slices.Sorted(slices.Values(keys)) {
		value, err := k.readSysctl(key)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		found = append(found, routes.Sysctl{Key: key, Value: value})
	}
	return found, nil
}

// setSysctls sets settings one by one, having remembered what each was.
func (k *Kernel) setSysctls(settings []routes.Sysctl) error {
	var errs []error
	for _, s := range settings {
		before, err := k.readSysctl(s.Key)
		if err == nil {
			err = k.saveSysctl(SavedSysctl{Key: s.Key, Before: before, Ours: s.Value})
		}
		if err == nil {
			err = k.writeSysctl(s)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("set sysctl %s: %w", s, err))
		}
	}
	return errors.Join(errs...)
}

// saveSysctl keeps what a setting was before our first write: that which is
// found later may be ours, or the work of somebody we repaired after.
func (k *Kernel) saveSysctl(f SavedSysctl) error {
	if k.options.Sysctls == nil {
		return nil
	}
	formers, err := k.options.Sysctls.Load()
	if err != nil {
		return err
	}
	i := slices.IndexFunc(formers, func(o SavedSysctl) bool { return o.Key == f.Key })
	switch {
	case i < 0:
		formers = append(formers, f)
	case formers[i].Ours == f.Ours:
		return nil
	default:
		formers[i].Ours = f.Ours
	}
	return k.options.Sysctls.Save(formers)
}

// restoreSysctls puts back what still has our value, in reverse order, and
// forgets the rest: who changed it since knows better. What cannot be written
// now stays remembered.
func (k *Kernel) restoreSysctls() error {
	if k.options.Sysctls == nil {
		return nil
	}
	formers, err := k.options.Sysctls.Load()
	if err != nil {
		return err
	}
	var errs []error
	var left []SavedSysctl
	for _, f := range slices.Backward(formers) {
		if err := k.restoreSysctl(f); err != nil {
			errs = append(errs, err)
			left = append(left, f)
		}
	}
	slices.Reverse(left)
	return errors.Join(append(errs, k.options.Sysctls.Save(left))...)
}

// restoreSysctl leaves alone a setting that is gone with its device.
func (k *Kernel) restoreSysctl(f SavedSysctl) error {
	now, err := k.readSysctl(f.Key)
	if errors.Is(err, fs.ErrNotExist) || (err == nil && now != f.Ours) {
		return nil
	}
	if err == nil {
		err = k.writeSysctl(routes.Sysctl{Key: f.Key, Value: f.Before})
	}
	if err != nil {
		return fmt.Errorf("restore sysctl %s=%s: %w", f.Key, f.Before, err)
	}
	return nil
}

func (k *Kernel) readSysctl(key string) (string, error) {
	file, err := k.sysctlPath(key)
	if err != nil {
		return "", err
	}
	value, err := os.ReadFile(file)
	return strings.TrimSpace(string(value)), err
}

func (k *Kernel) writeSysctl(s routes.Sysctl) error {
	file, err := k.sysctlPath(s.Key)
	if err != nil {
		return err
	}
	return os.WriteFile(file, []byte(s.Value), 0)
}

// sysctlPath refuses keys that lead out of /proc/sys/net, which alone is the
// namespace's own.
func (k *Kernel) sysctlPath(key string) (string, error) {
	if !strings.HasPrefix(key, "net/") || path.Clean(key) != key {
		return "", fmt.Errorf("sysctl %q: not a clean path below net/", key)
	}
	return path.Join(cmp.Or(k.options.SysctlRoot, "/proc/sys"), key), nil
}
