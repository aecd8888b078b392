// Package pipeline makes all files of a release, from a clone of its commit.
package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"

	"github.com/meshway/meshway/release/archive"
	"github.com/meshway/meshway/release/checksums"
	"github.com/meshway/meshway/release/krew"
	"github.com/meshway/meshway/release/packages"
	"github.com/meshway/meshway/release/programs"
	"github.com/meshway/meshway/release/source"
)

// Pipeline makes a release.
type Pipeline struct {
	Repository string // the commit that is checked out here is released
	Version    string
	Image      string // the repository to which the image is pushed
	Platforms  []programs.Platform
	Log        io.Writer // progress
}

// Make makes the files of the release in output. It replaces an earlier release there,
// once the new one is whole, and nothing else.
func (p Pipeline) Make(ctx context.Context, output string) (err error) {
	if err := checkReplaceable(output); err != nil {
		return err
	}
	// In the same file system, so that it can be renamed.
	dir, err := os.MkdirTemp(filepath.Dir(output), ".release-")
	if err != nil {
		return fmt.Errorf("create directory: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := p.build(ctx, dir, nil); err != nil {
		return err
	}
	if err := os.Rename(output, filepath.Join(dir, "old")); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("replace the earlier release: %w", err)
	}
	if err := os.Rename(filepath.Join(dir, "files"), output); err != nil {
		return fmt.Errorf("replace the earlier release: %w", err)
	}
	fmt.Fprintf(p.Log, "%s is in %s\n", p.Version, output)
	return nil
}

// checkReplaceable returns an error if there is something else than a release.
func checkReplaceable(output string) error {
	entries, err := os.ReadDir(output)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("read the earlier release: %w", err)
	}
	isSums := func(entry os.DirEntry) bool { return entry.Name() == checksums.File }
	if len(entries) > 0 && !slices.ContainsFunc(entries, isSums) {
		return fmt.Errorf("%s is not empty, and no release, since it has no %s: remove it, or choose another directory", output, checksums.File)
	}
	return nil
}

// build makes the files of the release in dir/files; what is temporary is in dir, too.
// The programs that it starts have the environment env as well.
func (p Pipeline) build(ctx context.Context, dir string, env []string) error {
	work := workspace{files: filepath.Join(dir, "files"), built: filepath.Join(dir, "built"), described: filepath.Join(dir, "described")}
	if err := os.Mkdir(work.files, 0o755); err != nil {
		return fmt.Errorf("create directory of the files: %w", err)
	}
	src, err := source.Clone(ctx, p.Repository, filepath.Join(dir, "source"), p.Version)
	if err != nil {
		return err
	}
	if err := p.fetchPackages(ctx, src); err != nil {
		return err
	}
	for _, platform := range p.allPlatforms() {
		p.logf("building for %s", platform)
		if err := programs.Build(ctx, src.Dir, work.programs(platform), platform, env); err != nil {
			return err
		}
	}
	p.logf("packing")
	host := programs.Platform{OS: runtime.GOOS, Arch: runtime.GOARCH}
	if err := programs.Describe(ctx, work.programs(host), work.described, src, env); err != nil {
		return err
	}
	for _, platform := range p.Platforms {
		if err := pack(work, src, platform); err != nil {
			return err
		}
	}
	if err := p.packImage(ctx, work, src); err != nil {
		return err
	}
	if err := krew.Write(work.files, src); err != nil {
		return err
	}
	return checksums.Write(work.files)
}

// allPlatforms returns the platforms of the release, and that of this machine, whose
// programs describe themselves.
func (p Pipeline) allPlatforms() []programs.Platform {
	host := programs.Platform{OS: runtime.GOOS, Arch: runtime.GOARCH}
	if slices.Contains(p.Platforms, host) {
		return p.Platforms
	}
	return append([]programs.Platform{host}, p.Platforms...)
}

func (p Pipeline) logf(format string, args ...any) { fmt.Fprintf(p.Log, "==> "+format+"\n", args...) }

// workspace has the directories of a build.
type workspace struct{ files, built, described string }

func (w workspace) programs(p programs.Platform) string { return filepath.Join(w.built, p.String()) }

// pack writes the archives and packages of a platform.
func pack(work workspace, src source.Source, platform programs.Platform) error {
	built := work.programs(platform)
	suffix := "_" + src.Number() + "_" + platform.String() + ".tar.gz"
	if platform.OS == "windows" {
		suffix = "_" + src.Number() + "_" + platform.String() + ".zip"
	}
	license := archive.File{Path: "LICENSE", Source: filepath.Join(src.Dir, "LICENSE"), Mode: 0o644}
	client := platform.File("meshctl")
	err := archive.Write(filepath.Join(work.files, "meshctl"+suffix),
		[]archive.File{license, {Path: client, Source: filepath.Join(built, client), Mode: 0o755}}, src.Time)
	if err != nil || platform.OS != "linux" {
		return err
	}
	described, err := archive.Tree(work.described, "")
	if err != nil {
		return err
	}
	examples, err := filepath.Glob(filepath.Join(src.Dir, "deploy/examples/*.yaml"))
	if err != nil {
		return fmt.Errorf("list examples: %w", err)
	}
	files := append(described, license,
		archive.File{Path: "reference.yaml", Source: filepath.Join(src.Dir, "agent/config/reference.yaml"), Mode: 0o644})
	for _, name := range packages.Units() {
		unit, err := packages.UnitForArchive(src, name)
		if err != nil {
			return err
		}
		files = append(files, archive.File{Path: name, Text: unit, Mode: 0o644})
	}
	for _, example := range examples {
		files = append(files, archive.File{Path: "examples/" + filepath.Base(example), Source: example, Mode: 0o644})
	}
	for _, name := range platform.Names() {
		files = append(files, archive.File{Path: name, Source: filepath.Join(built, name), Mode: 0o755})
	}
	if err := archive.Write(filepath.Join(work.files, "meshway"+suffix), files, src.Time); err != nil {
		return err
	}
	return packages.Write(work.files, src, platform.Arch, built, work.described)
}
