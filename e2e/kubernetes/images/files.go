package images

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// Busybox returns a root file system with Debian's busybox-static, a link for
// each of its commands, and the files that programs require. Its shell prefers
// its own commands, such as ip, to programs of the same name in the path.
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

// WithPrograms returns the files of Busybox and of Program for each name.
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

// Program returns the files of a program of this machine, for example "nft": the
// program and its shared libraries, if any, with the same paths in the image.
func Program(ctx context.Context, name string) ([]File, error) {
	source, err := exec.LookPath(name)
	if err != nil {
		return nil, fmt.Errorf("find program: %w", err)
	}
	files := []File{{Path: source, Source: source}}
	// For a static program, ldd exits with status 1 and prints this message.
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

// libraries returns the paths in the output of ldd, which has lines such as:
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

// Compile builds a static Go program into the file output.
func Compile(ctx context.Context, pkg, output string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-buildvcs=false", "-ldflags", "-s -w", "-o", output, pkg)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build %s: %w: %s", pkg, err, out)
	}
	return nil
}
