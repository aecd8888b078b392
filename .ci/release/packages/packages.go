// Package packages writes the packages of Debian and of RPM distributions, which
// deploy/package/nfpm.yaml describes.
package packages

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/goreleaser/nfpm/v2"
	"github.com/goreleaser/nfpm/v2/deb"
	"github.com/goreleaser/nfpm/v2/rpm"

	"github.com/meshway/meshway/release/source"
)

// unitDirectory has the units in the source tree, for programs in /usr/local/bin. The
// comment at the top of meshd.service describes a manual installation from the source tree.
const unitDirectory = "deploy/systemd/"

// Units returns the names of the units of a host.
func Units() []string { return []string{"meshd.service", "meshway-guard.service"} }

// UnitForArchive returns a unit in an archive of a release, whose comment names the
// paths in the archive.
func UnitForArchive(src source.Source, name string) (string, error) {
	text, err := os.ReadFile(filepath.Join(src.Dir, unitDirectory, name))
	if err != nil {
		return "", fmt.Errorf("read unit: %w", err)
	}
	return strings.NewReplacer("bin/meshd bin/meshctl", "meshd meshctl", "deploy/examples/", "examples/", unitDirectory, "").Replace(string(text)), nil
}

// Write writes the deb and the rpm of a processor into output. programs and described
// are the directories of programs.Build and programs.Describe.
func Write(output string, src source.Source, arch, programs, described string) error {
	for _, unit := range Units() { // described is packed into the archive, too
		if err := writeUnit(filepath.Join(src.Dir, unitDirectory, unit), filepath.Join(programs, unit)); err != nil {
			return err
		}
	}
	variables := map[string]string{
		"ARCH": arch, "VERSION": src.Number(), "SOURCE": src.Dir, "PROGRAMS": programs, "DESCRIBED": described,
	}
	config, err := nfpm.ParseFileWithEnvMapping(filepath.Join(src.Dir, "deploy/package/nfpm.yaml"), func(name string) string { return variables[name] })
	if err != nil {
		return fmt.Errorf("read nfpm.yaml: %w", err)
	}
	for format, packager := range map[string]nfpm.Packager{"deb": &deb.Deb{}, "rpm": rpm.DefaultRPM} {
		info, err := config.Get(format)
		if err != nil {
			return fmt.Errorf("read nfpm.yaml for %s: %w", format, err)
		}
		info.MTime = src.Time
		for _, script := range []*string{&info.Scripts.PostInstall, &info.Scripts.PreRemove, &info.Scripts.PostRemove} {
			*script = filepath.Join(src.Dir, *script)
		}
		// GitHub changes "~" in the name of a file of a release, which would then have
		// another name than in the checksums.
		name := strings.ReplaceAll(packager.ConventionalFileName(info), "~", "-")
		if err := write(filepath.Join(output, name), packager, info); err != nil {
			return err
		}
	}
	return nil
}

func write(name string, packager nfpm.Packager, info *nfpm.Info) (err error) {
	file, err := os.Create(name)
	if err != nil {
		return fmt.Errorf("create package: %w", err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	if err := packager.Package(info, file); err != nil {
		return fmt.Errorf("write %s: %w", filepath.Base(name), err)
	}
	return nil
}

// writeUnit writes the unit for programs in /usr/bin, without the instructions for a
// manual installation at its top.
func writeUnit(from, to string) error {
	text, err := os.ReadFile(from)
	if err != nil {
		return fmt.Errorf("read unit: %w", err)
	}
	_, unit, found := strings.Cut(string(text), "\n[Unit]\n")
	if !found {
		return fmt.Errorf("%s has no section [Unit]", from)
	}
	unit = "[Unit]\n" + strings.ReplaceAll(unit, "/usr/local/bin/", "/usr/bin/")
	if err := os.WriteFile(to, []byte(unit), 0o644); err != nil {
		return fmt.Errorf("write unit: %w", err)
	}
	return nil
}
