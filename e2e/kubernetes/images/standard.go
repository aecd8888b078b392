package images

import (
	"context"
	"fmt"
	"path/filepath"
)

// The images of every cluster. They are never pulled if imagePullPolicy is Never
// or IfNotPresent, the default for a tag other than latest.
const (
	Pause   = "meshway.test/pause:1"
	CoreDNS = "meshway.test/coredns:1"
	// Echo runs the server of directory echo by default. It also contains curl and
	// the commands of busybox, for clients: `command: [sleep, inf]`.
	Echo = "meshway.test/echo:1"
)

const programs = "github.com/meshway/meshway/e2e/kubernetes/images/"

// Standard returns the images of every cluster. It compiles programs into dir,
// which must exist until the images are written; coredns is the file of CoreDNS.
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
	// The wget of Debian's busybox-static 1.35 crashes with a segmentation fault.
	tools, err := WithPrograms(ctx, "curl")
	if err != nil {
		return nil, fmt.Errorf("build image %s: %w", Echo, err)
	}
	echo.Files = append(echo.Files, tools...)
	return []Image{static(Pause, filepath.Join(dir, "pause")), static(CoreDNS, coredns), echo}, nil
}
