package pipeline

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/meshway/meshway/release/checksums"
)

// Verify builds the release twice, in different directories and with build caches of
// their own, and returns an error that names the files that differ.
func (p Pipeline) Verify(ctx context.Context) (err error) {
	dir, err := os.MkdirTemp("", "meshway-release-")
	if err != nil {
		return fmt.Errorf("create directory: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	first, second := filepath.Join(dir, "first"), filepath.Join(dir, "the-second", "directory")
	for _, build := range []string{first, second} {
		if err := os.MkdirAll(build, 0o755); err != nil {
			return fmt.Errorf("create directory: %w", err)
		}
	}
	if err := p.build(ctx, first, nil); err != nil {
		return err
	}
	env, err := apart()
	if err != nil {
		return err
	}
	if err := p.build(ctx, second, env); err != nil {
		return err
	}
	different, err := Differences(filepath.Join(first, "files"), filepath.Join(second, "files"))
	if err != nil {
		return err
	}
	if len(different) > 0 {
		return fmt.Errorf("two builds of %s differ in: %s", p.Version, strings.Join(different, ", "))
	}
	sums, err := os.ReadFile(filepath.Join(first, "files", checksums.File))
	if err != nil {
		return fmt.Errorf("read checksums: %w", err)
	}
	fmt.Fprintf(p.Log, "%stwo builds of %s are equal, byte for byte\n", sums, p.Version)
	return nil
}

// apart returns what may differ between machines: another build cache, so that what the
// first build compiled is not used again, another time zone and another user.
func apart() ([]string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return nil, fmt.Errorf("find cache: %w", err)
	}
	return []string{"GOCACHE=" + filepath.Join(cache, "meshway", "verify"), "TZ=Pacific/Auckland", "USER=verify"}, nil
}

// Differences returns the names of the files that only one of two directories has, or
// whose content differs, sorted.
func Differences(a, b string) ([]string, error) {
	contents := [2]map[string][]byte{{}, {}}
	for i, dir := range []string{a, b} {
		entries, err := os.ReadDir(dir)
		if err != nil {
			return nil, fmt.Errorf("list files: %w", err)
		}
		for _, entry := range entries {
			if contents[i][entry.Name()], err = os.ReadFile(filepath.Join(dir, entry.Name())); err != nil {
				return nil, fmt.Errorf("read file: %w", err)
			}
		}
	}
	different := map[string]bool{}
	for i := range contents {
		for name, content := range contents[i] {
			other, both := contents[1-i][name]
			if !both || !bytes.Equal(content, other) {
				different[name] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(different)), nil
}
