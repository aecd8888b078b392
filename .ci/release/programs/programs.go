// Package programs builds the programs of a release, and their manual pages and
// completions.
package programs

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/meshway/meshway/release/source"
)

// Platform is an operating system and a processor, with the names of Go.
type Platform struct{ OS, Arch string }

func (p Platform) String() string { return p.OS + "_" + p.Arch }

// Platforms returns the platforms of a release. All have meshctl, Linux has meshd too.
func Platforms() []Platform {
	return []Platform{
		{"linux", "amd64"}, {"linux", "arm64"},
		{"darwin", "amd64"}, {"darwin", "arm64"},
		{"windows", "amd64"}, {"windows", "arm64"},
	}
}

// ParsePlatforms reads a list such as "linux/amd64,darwin/arm64"; empty is all.
func ParsePlatforms(list string) ([]Platform, error) {
	if list == "" {
		return Platforms(), nil
	}
	var parsed []Platform
	for name := range strings.SplitSeq(list, ",") {
		system, arch, _ := strings.Cut(name, "/")
		p := Platform{system, arch}
		if !slices.Contains(Platforms(), p) {
			return nil, fmt.Errorf("unknown platform %q: name some of %s", name, names(Platforms()))
		}
		parsed = append(parsed, p)
	}
	return parsed, nil
}

// names returns a list that ParsePlatforms reads.
func names(platforms []Platform) string {
	var list []string
	for _, p := range platforms {
		list = append(list, p.OS+"/"+p.Arch)
	}
	return strings.Join(list, ",")
}

// Names returns the programs of a platform.
func (p Platform) Names() []string {
	if p.OS == "linux" {
		return []string{"meshctl", "meshd"}
	}
	return []string{"meshctl"}
}

// File returns the name of the file of a program.
func (p Platform) File(program string) string {
	if p.OS == "windows" {
		return program + ".exe"
	}
	return program
}

// Build builds the programs of a platform from the source in dir, into the directory
// output, with env in the environment.
func Build(ctx context.Context, dir, output string, p Platform, env []string) error {
	if err := os.MkdirAll(output, 0o755); err != nil {
		return fmt.Errorf("create directory of programs: %w", err)
	}
	args := []string{"build", "-trimpath", "-ldflags=-s -w", "-o", output + string(filepath.Separator)}
	for _, name := range p.Names() {
		args = append(args, "./cmd/"+name)
	}
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = dir
	// The settings of the user's machine would change the bytes.
	cmd.Env = slices.Concat(os.Environ(), env, []string{
		"CGO_ENABLED=0", "GOOS=" + p.OS, "GOARCH=" + p.Arch,
		"GOAMD64=v1", "GOARM64=v8.0", "GOEXPERIMENT=", "GOFLAGS=", "GOWORK=off",
	})
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build the programs of %s: %w: %s", p, err, out)
	}
	return nil
}

// Describe writes the manual pages of the programs of this machine in the directory
// built into output/man, and their completions into output/completions.
func Describe(ctx context.Context, built, output string, src source.Source, env []string) error {
	dated := append([]string{"SOURCE_DATE_EPOCH=" + strconv.FormatInt(src.Time.Unix(), 10)}, env...)
	for _, name := range (Platform{runtime.GOOS, runtime.GOARCH}).Names() {
		program := filepath.Join(built, name)
		if _, err := run(ctx, program, dated, "man", filepath.Join(output, "man")); err != nil {
			return err
		}
		for shell, file := range map[string]string{"bash": name, "zsh": "_" + name, "fish": name + ".fish"} {
			script, err := run(ctx, program, env, "completion", shell)
			if err != nil {
				return err
			}
			path := filepath.Join(output, "completions", shell, file)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				return fmt.Errorf("create directory of completions: %w", err)
			}
			if err := os.WriteFile(path, script, 0o644); err != nil {
				return fmt.Errorf("write completion: %w", err)
			}
		}
	}
	return nil
}

func run(ctx context.Context, program string, env []string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("run %s %s: %w", filepath.Base(program), strings.Join(args, " "), err)
	}
	return out, nil
}
