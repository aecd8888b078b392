package chart

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/meshway/meshway/e2e/kubernetes/images"
)

// AgentImage is the repository and tag of the agent's image in tests.
const AgentImage = "meshway.test/meshway:1"

const product = "github.com/meshway/meshway"

// certificates is Debian's file with the certificates of public authorities.
const certificates = "/etc/ssl/certs/ca-certificates.crt"

// Image returns an image with the files of deploy/image/Dockerfile, including this
// machine's nft. It compiles meshd and meshctl into dir, which must exist until the
// image is written.
func Image(ctx context.Context, name, dir string) (images.Image, error) {
	if err := compile(ctx, dir); err != nil {
		return images.Image{}, err
	}
	files, err := images.Program(ctx, "nft")
	if err != nil {
		return images.Image{}, fmt.Errorf("add nft (apt-get install nftables): %w", err)
	}
	files = append(files,
		images.File{Path: "/usr/bin/meshd", Source: filepath.Join(dir, "meshd")},
		images.File{Path: "/usr/bin/meshctl", Source: filepath.Join(dir, "meshctl")},
		images.File{Path: "/etc/passwd", Text: "root:x:0:0:root:/:/sbin/nologin\n"},
		images.File{Path: "/run/"},
		images.File{Path: "/var/run", Link: "/run"},
		images.File{Path: "/tmp/", Mode: 0o1777},
	)
	// No test requires the certificates, and they may be missing on this machine.
	if _, err := os.Stat(certificates); err == nil {
		files = append(files, images.File{Path: certificates, Source: certificates, Mode: 0o644})
	}
	return images.Image{Name: name, Files: files, Entrypoint: []string{"/usr/bin/meshd"}}, nil
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
func compile(ctx context.Context, dir string) error {
	root, err := Root(ctx)
	if err != nil {
		return err
	}
	dir, err = filepath.Abs(dir)
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
