package images

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// Busybox is a root with Debian's busybox-static and a link for each of its
// commands, and the few files that programs expect. Its shell prefers its own
// commands to others of the same name in the path, for example ip.
func Busybox(ctx context.Context) ([]File, error) {
	source, err := exec.LookPath("busybox")
	if err != nil {
		return nil, fmt.Errorf("find busybox (apt-get install busybox-static): %w", err)
	}
	list, err := exec.CommandContext(ctx, source, "--list").Output()
	if err != nil {
		return nil, fmt.Errorf("list commands of busybox: %w", err)
	}
	files := []File{
		{Path: "/bin/busybox", Source: source},
		{Path: "/etc/passwd", Text: "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n"},
		{Path: "/etc/group", Text: "root:x:0:\nnogroup:x:65534:\n"},
		{Path: "/tmp/", Mode: 0o1777},
		{Path: "/root/", Mode: 0o700},
	}
	for _, name := range strings.Fields(string(list)) {
		if name != "busybox" {
			files = append(files, File{Path: "/bin/" + name, Link: "/bin/busybox"})
		}
	}
	return files, nil
}

// WithPrograms is Busybox and programs of this machine, as Program has them.
func WithPrograms(ctx context.Context, names ...string) ([]File, error) {
	files, err := Busybox(ctx)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		program, err := Program(ctx, name)
		if err != nil {
			return nil, err
		}
		files = append(files, program...)
	}
	return files, nil
}

// Program is a program of this machine at the same place in the image, with
// the libraries that it is linked with, for example "nft". A static program
// has none.
func Program(ctx context.Context, name string) ([]File, error) {
	source, err := exec.LookPath(name)
	if err != nil {
		return nil, fmt.Errorf("find program: %w", err)
	}
	files := []File{{Path: source, Source: source}}
	// ldd ends with 1 for a static program, and says so.
	out, err := exec.CommandContext(ctx, "ldd", source).CombinedOutput()
	if err != nil {
		if _, exited := errors.AsType[*exec.ExitError](err); exited && strings.Contains(string(out), "not a dynamic executable") {
			return files, nil
		}
		return nil, fmt.Errorf("list libraries of %s: %w: %s", source, err, out)
	}
	for _, library := range libraries(string(out)) {
		files = append(files, File{Path: library, Source: library})
	}
	return files, nil
}

// libraries reads what ldd prints:
//
//	libmnl.so.0 => /lib/x86_64-linux-gnu/libmnl.so.0 (0x00007f…)
//	/lib64/ld-linux-x86-64.so.2 (0x00007f…)
func libraries(ldd string) []string {
	var paths []string
	for line := range strings.Lines(ldd) {
		for _, field := range strings.Fields(line) {
			if strings.HasPrefix(field, "/") {
				paths = append(paths, field)
			}
		}
	}
	return paths
}

// Compile builds a Go program, static, into a file.
func Compile(ctx context.Context, pkg, output string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-buildvcs=false", "-ldflags", "-s -w", "-o", output, pkg)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build %s: %w: %s", pkg, err, out)
	}
	return nil
}
