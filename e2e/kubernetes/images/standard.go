package images

import (
	"context"
	"fmt"
	"path/filepath"
)

// The images that every cluster has. Nothing pulls: imagePullPolicy is Never,
// or IfNotPresent, which is the default for a tag other than latest.
const (
	Pause   = "meshway.test/pause:1"
	CoreDNS = "meshway.test/coredns:1"
	// Echo is the server of folder echo by default; it has curl and the
	// commands of busybox too, for clients: `command: [sleep, inf]`.
	Echo = "meshway.test/echo:1"
)

const programs = "github.com/meshway/meshway/e2e/kubernetes/images/"

// Standard makes the images that every cluster has. It compiles into dir and
// reads from it as long as the images are used; coredns is that program's file.
func Standard(ctx context.Context, dir, coredns string) ([]Image, error) {
	for _, name := range []string{"pause", "echo"} {
		if err := Compile(ctx, programs+name, filepath.Join(dir, name)); err != nil {
			return nil, err
		}
	}
	static := func(name, source string) Image {
		program := File{Path: "/" + filepath.Base(source), Source: source}
		return Image{Name: name, Files: []File{program}, Entrypoint: []string{program.Path}}
	}
	echo := static(Echo, filepath.Join(dir, "echo"))
	// Not busybox's wget: that of Debian's busybox-static 1.35 ends with a segmentation fault.
	tools, err := WithPrograms(ctx, "curl")
	if err != nil {
		return nil, fmt.Errorf("make image %s: %w", Echo, err)
	}
	echo.Files = append(echo.Files, tools...)
	return []Image{static(Pause, filepath.Join(dir, "pause")), static(CoreDNS, coredns), echo}, nil
}
