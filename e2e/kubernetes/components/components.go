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

// Path is where a program is, for example "kubectl".
func (b Binaries) Path(program string) string { return filepath.Join(b.Dir, program) }

// program is built from one package of one of the modules beside this file.
type program struct {
	name, module, path string
	tags               string
	flags              string // for the linker
}

// The order is that of use: what is missing fails early.
func programs() []program {
	const kubernetes = "k8s.io/kubernetes/cmd/"
	const containerd = "github.com/containerd/containerd/v2/cmd/"
	const noDevices = "no_btrfs no_zfs no_devmapper" // they need C
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

// kubernetesVersion is what `kubectl version` and the charts' kubeVersion see.
// Built from its module, Kubernetes would say v0.0.0-master.
func kubernetesVersion() string {
	const p = "-X k8s.io/component-base/version."
	return p + "gitVersion=" + KubernetesVersion + " " + p + "gitMajor=1 " + p + "gitMinor=37 " + p + "gitTreeState=clean"
}

// KubernetesVersion is that of kubernetes/go.mod.
const KubernetesVersion = "v1.37.2"

// Build builds what the user's cache does not hold yet and says so on
// progress: the first time takes about 15 minutes on two cores. The cache is
// keyed by the modules' versions, so that a new version has its own directory.
// It must be called from inside of this module's source, as tests and `go run` are.
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
		return Binaries{}, fmt.Errorf("make cache directory: %w", err)
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
			return fmt.Errorf("look for %s: %w", p.name, err)
		}
	}
	for i, p := range missing {
		begun := time.Now()
		fmt.Fprintf(progress, "build %s (%d of %d)\n", p.name, i+1, len(missing))
		if err := b.build(ctx, filepath.Join(source, p.module), p); err != nil {
			return err
		}
		fmt.Fprintf(progress, "built %s in %.0f s\n", p.name, time.Since(begun).Seconds())
	}
	return nil
}

// build builds one program beside its place and then moves it there: a build
// that was interrupted leaves nothing that looks complete.
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
		return fmt.Errorf("keep %s: %w", p.name, err)
	}
	return nil
}

// sourceDir is where this package is. The modules below it cannot be embedded:
// to the go command they are no part of this one.
func sourceDir(ctx context.Context) (string, error) {
	cmd := exec.CommandContext(ctx, "go", "list", "-f", "{{.Dir}}", "github.com/meshway/meshway/e2e/kubernetes/components")
	var problem bytes.Buffer
	cmd.Stderr = &problem
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("find the source of the components (run it inside of e2e/kubernetes): %w: %s", err, problem.String())
	}
	return strings.TrimSpace(string(out)), nil
}

// cacheKey changes with everything that changes what is built.
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

// lock makes a second caller wait for the first one's builds.
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
