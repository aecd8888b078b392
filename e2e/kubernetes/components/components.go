package components

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Binaries is a directory with all programs.
type Binaries struct{ Dir string }

// Path returns the file of a program, for example "kubectl".
func (b Binaries) Path(program string) string { return filepath.Join(b.Dir, program) }

// program is a program that is built from a package of a module in a
// subdirectory.
type program struct {
	name, module, path string
	tags               string
	flags              string // for the linker
}

// programs returns all programs; those that build fast are first.
func programs() []program {
	const kubernetes = "k8s.io/kubernetes/cmd/"
	const containerd = "github.com/containerd/containerd/v2/cmd/"
	const noDevices = "no_btrfs no_zfs no_devmapper" // these require cgo
	list := []program{
		{name: "etcd", module: "etcd", path: "go.etcd.io/etcd/server/v3"},
		{name: "coredns", module: "coredns", path: "github.com/coredns/coredns"},
		{name: "helm", module: "helm", path: "helm.sh/helm/v4/cmd/helm"},
	}
	for _, name := range []string{"containerd", "containerd-shim-runc-v2", "ctr"} {
		list = append(list, program{name: name, module: "containerd", path: containerd + name, tags: noDevices})
	}
	for _, name := range []string{"kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy", "kubectl"} {
		list = append(list, program{name: name, module: "kubernetes", path: kubernetes + name, flags: kubernetesVersion()})
	}
	return list
}

// kubernetesVersion returns the linker flags that set the version that `kubectl
// version` prints and that kubeVersion of charts is compared with. The default
// is v0.0.0-master.
func kubernetesVersion() string {
	const p = "-X k8s.io/component-base/version."
	return p + "gitVersion=" + KubernetesVersion + " " + p + "gitMajor=1 " + p + "gitMinor=37 " + p + "gitTreeState=clean"
}

// KubernetesVersion is the version in kubernetes/go.mod.
const KubernetesVersion = "v1.37.2"

// Build builds the programs that are missing in the user's cache, which takes
// about 15 minutes on two cores the first time, and reports them on progress.
// The cache has a directory per set of module versions. Build must be called in
// the source tree of this module, as from tests and `go run`.
func Build(ctx context.Context, progress io.Writer) (Binaries, error) {
	source, err := sourceDir(ctx)
	if err != nil {
		return Binaries{}, err
	}
	list := programs()
	key, err := cacheKey(source, list)
	if err != nil {
		return Binaries{}, err
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return Binaries{}, fmt.Errorf("find cache directory: %w", err)
	}
	b := Binaries{Dir: filepath.Join(cache, "meshway-kubernetes", key, "bin")}
	if err := os.MkdirAll(b.Dir, 0o755); err != nil {
		return Binaries{}, fmt.Errorf("create cache directory: %w", err)
	}
	unlock, err := lock(b.Dir)
	if err != nil {
		return Binaries{}, err
	}
	defer unlock()
	return b, b.buildMissing(ctx, source, list, progress)
}

func (b Binaries) buildMissing(ctx context.Context, source string, list []program, progress io.Writer) error {
	var missing []program
	for _, p := range list {
		if _, err := os.Stat(b.Path(p.name)); errors.Is(err, fs.ErrNotExist) {
			missing = append(missing, p)
		} else if err != nil {
			return fmt.Errorf("find %s: %w", p.name, err)
		}
	}
	for i, p := range missing {
		started := time.Now()
		fmt.Fprintf(progress, "building %s (%d of %d)\n", p.name, i+1, len(missing))
		if err := b.build(ctx, filepath.Join(source, p.module), p); err != nil {
			return err
		}
		fmt.Fprintf(progress, "built %s in %.0f s\n", p.name, time.Since(started).Seconds())
	}
	return nil
}

// build builds a program into a temporary file and then renames it, so that an
// interrupted build leaves no incomplete program.
func (b Binaries) build(ctx context.Context, module string, p program) error {
	partial := b.Path(p.name) + ".partial"
	cmd := exec.CommandContext(ctx, "go", "build", "-mod=readonly", "-buildvcs=false",
		"-tags", p.tags, "-ldflags", strings.TrimSpace("-s -w "+p.flags), "-o", partial, p.path)
	cmd.Dir = module
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off", "GOFLAGS=")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build %s: %w: %s", p.name, err, out)
	}
	if err := os.Rename(partial, b.Path(p.name)); err != nil {
		return fmt.Errorf("store %s: %w", p.name, err)
	}
	return nil
}

// sourceDir returns the directory of this package. The modules below it cannot
// be embedded, since they are not part of this module.
func sourceDir(ctx context.Context) (string, error) {
	cmd := exec.CommandContext(ctx, "go", "list", "-f", "{{.Dir}}", "github.com/meshway/meshway/e2e/kubernetes/components")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("find the source of the components (run it in e2e/kubernetes): %w: %s", err, stderr.String())
	}
	return strings.TrimSpace(string(out)), nil
}

// cacheKey returns a hash of the Go version, the programs and the module
// versions.
func cacheKey(source string, list []program) (string, error) {
	sum := sha256.New()
	fmt.Fprintln(sum, runtime.Version(), runtime.GOARCH, list)
	var modules []string
	for _, p := range list {
		modules = append(modules, p.module)
	}
	slices.Sort(modules)
	for _, module := range slices.Compact(modules) {
		for _, name := range []string{"go.mod", "go.sum"} {
			content, err := os.ReadFile(filepath.Join(source, module, name))
			if err != nil {
				return "", fmt.Errorf("read versions: %w", err)
			}
			fmt.Fprintf(sum, "%s/%s %d\n%s", module, name, len(content), content)
		}
	}
	return hex.EncodeToString(sum.Sum(nil))[:12], nil
}

// lock locks a directory, so that concurrent callers build each program once.
func lock(dir string) (unlock func(), err error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", dir, err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s: %w", dir, err)
	}
	return func() { f.Close() }, nil
}
