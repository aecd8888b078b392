package chart

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// The repository and the tag of the agent's image in tests.
const (
	imageRepository = "meshway.test/meshway"
	imageTag        = "1"

	AgentImage = imageRepository + ":" + imageTag
)

const product = "github.com/meshway/meshway"

// WriteImage compiles meshd and meshctl into dir, and writes an archive with the image
// AgentImage as a release builds it, also with its packages of Debian.
func WriteImage(ctx context.Context, dir, archive string) error {
	root, err := Root(ctx)
	if err != nil {
		return err
	}
	if err := compile(ctx, root, dir); err != nil {
		return err
	}
	paths := []string{dir, archive}
	for i := range paths {
		if paths[i], err = filepath.Abs(paths[i]); err != nil {
			return fmt.Errorf("find directory: %w", err)
		}
	}
	build := exec.CommandContext(ctx, "go", "run", ".", "image", "-repository", root, "-programs", paths[0],
		"-output", paths[1], "-name", imageRepository, "-tag", imageTag)
	build.Dir = filepath.Join(root, ".ci/release")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build image: %w: %s", err, out)
	}
	return nil
}

// Root returns the directory of the product's module, which has the chart in
// deploy/chart.
func Root(ctx context.Context) (string, error) {
	root, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", product).Output()
	if err != nil {
		return "", fmt.Errorf("find module %s (run it in e2e/kubernetes): %w", product, err)
	}
	return strings.TrimSpace(string(root)), nil
}

// compile builds the programs in the product's module, with the module's versions.
func compile(ctx context.Context, root, dir string) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return fmt.Errorf("find directory: %w", err)
	}
	build := exec.CommandContext(ctx, "go", "build", "-buildvcs=false", "-trimpath", "-ldflags", "-s -w",
		"-o", dir+"/", "./cmd/meshd", "./cmd/meshctl")
	build.Dir = root
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build meshd and meshctl: %w: %s", err, out)
	}
	return nil
}
