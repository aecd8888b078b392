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

	"golang.org/x/sys/unix"

	"github.com/meshway/meshway/routes"
)

// Sysctls implements routes.Kernel.
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

// setSysctls saves the former value of each setting and then sets it. Settings
// that are read-only are one error.
func (k *Kernel) setSysctls(settings []routes.Sysctl) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	var errs []error
	var readOnly []string
	for _, s := range routes.InOrder(settings) {
		before, err := k.readSysctl(s.Key)
		if err == nil {
			err = k.saveSysctl(SavedSysctl{Key: s.Key, Before: before, Ours: s.Value})
		}
		if err == nil {
			err = k.writeSysctl(s)
		}
		switch {
		case errors.Is(err, unix.EROFS):
			readOnly = append(readOnly, strings.ReplaceAll(s.String(), "/", "."))
		case err != nil:
			errs = append(errs, fmt.Errorf("set sysctl %s: %w", s, err))
		}
	}
	if len(readOnly) > 0 {
		errs = append(errs, fmt.Errorf("set sysctls: %s is read-only: mount it writable for meshd, or run sysctl -w %s on this host",
			k.sysctlRoot(), strings.Join(readOnly, " ")))
	}
	return errors.Join(errs...)
}

// CheckSysctls returns which settings have another value and cannot be set, or nil. It
// changes nothing. A family that the kernel lacks needs no settings.
func (k *Kernel) CheckSysctls(settings []routes.Sysctl) error {
	if _, err := os.Stat(path.Join(k.sysctlRoot(), "net/ipv6/conf")); errors.Is(err, fs.ErrNotExist) {
		settings = routes.Without(settings, routes.IPv6)
	}
	var names []string
	var why error
	for _, s := range settings {
		value, err := k.readSysctl(s.Key)
		if err == nil && value != s.Value {
			err = unix.Access(path.Join(k.sysctlRoot(), s.Key), unix.W_OK)
		}
		if err != nil {
			names, why = append(names, strings.ReplaceAll(s.String(), "/", ".")), cmp.Or(why, err)
		}
	}
	if why == nil {
		return nil
	}
	if of := (*fs.PathError)(nil); errors.As(why, &of) {
		why = of.Err // the message has the names
	}
	return fmt.Errorf("sysctl %s cannot be set: %w", strings.Join(names, " "), why)
}

// saveSysctl saves the value that a setting had before Meshway first set it. A
// later value may be Meshway's own, or one that Meshway has repaired.
func (k *Kernel) saveSysctl(s SavedSysctl) error {
	if k.options.Sysctls == nil {
		return nil
	}
	saved, _, err := k.options.Sysctls.Load()
	if err != nil {
		return err
	}
	i := slices.IndexFunc(saved, func(o SavedSysctl) bool { return o.Key == s.Key })
	switch {
	case i < 0:
		saved = append(saved, s)
	case saved[i].Ours == s.Ours:
		return nil
	default:
		saved[i].Ours = s.Ours
	}
	return k.options.Sysctls.Save(saved)
}

// SysctlBefore returns the value that a setting had before Meshway first set it.
func (k *Kernel) SysctlBefore(key string) (string, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.options.Sysctls != nil {
		saved, _, err := k.options.Sysctls.Load()
		if err != nil {
			return "", err
		}
		if i := slices.IndexFunc(saved, func(s SavedSysctl) bool { return s.Key == key }); i >= 0 {
			return saved[i].Before, nil
		}
	}
	return k.readSysctl(key)
}

// restoreSysctls restores the settings that still have Meshway's value, in reverse
// order, and discards the others, because another program has changed them.
// Settings that cannot be written stay saved.
func (k *Kernel) restoreSysctls() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.options.Sysctls == nil {
		return nil
	}
	saved, _, err := k.options.Sysctls.Load()
	if err != nil {
		return err
	}
	var errs []error
	var left []SavedSysctl
	for _, s := range slices.Backward(saved) {
		if err := k.restoreSysctl(s); err != nil {
			errs = append(errs, err)
			left = append(left, s)
		}
	}
	if len(left) == 0 {
		return k.options.Sysctls.Remove()
	}
	slices.Reverse(left)
	return errors.Join(append(errs, k.options.Sysctls.Save(left))...)
}

// restoreSysctl restores one setting. A setting that does not exist any longer,
// like its device, is no error.
func (k *Kernel) restoreSysctl(s SavedSysctl) error {
	now, err := k.readSysctl(s.Key)
	if errors.Is(err, fs.ErrNotExist) || (err == nil && now != s.Ours) {
		return nil
	}
	if err == nil {
		err = k.writeSysctl(routes.Sysctl{Key: s.Key, Value: s.Before})
	}
	if err != nil {
		return fmt.Errorf("restore sysctl %s=%s: %w", s.Key, s.Before, err)
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

// sysctlPath returns the path of a setting. It refuses keys outside of
// /proc/sys/net, because only those belong to the network namespace.
func (k *Kernel) sysctlPath(key string) (string, error) {
	if !strings.HasPrefix(key, "net/") || path.Clean(key) != key {
		return "", fmt.Errorf("sysctl %q: not a clean path below net/", key)
	}
	return path.Join(k.sysctlRoot(), key), nil
}

func (k *Kernel) sysctlRoot() string { return cmp.Or(k.options.SysctlRoot, "/proc/sys") }
