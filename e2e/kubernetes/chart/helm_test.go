package chart_test

import (
	"bytes"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/e2e/kubernetes/components"
)

const (
	chartDir = "../../../deploy/chart/meshway"
	examples = "../../../deploy/examples/kubernetes"
)

var update = flag.Bool("update", false, "overwrite the golden files")

// rendering is the chart with a set of values.
type rendering struct {
	name   string
	values []string // files
}

func renderings() []rendering {
	return []rendering{
		{"east", []string{examples + "/east.yaml"}},
		{"west-gitops", []string{examples + "/west-gitops.yaml"}},
		{"userspace", []string{examples + "/west.yaml", "lab.yaml"}},
		{"monitoring", []string{"testdata/values/monitoring.yaml"}},
		{"tuned", []string{"testdata/values/tuned.yaml"}},
	}
}

// renderingOf returns the rendering of a name.
func renderingOf(name string) rendering {
	all := renderings()
	return all[slices.IndexFunc(all, func(r rendering) bool { return r.name == name })]
}

// template returns the output of `helm template`.
func (r rendering) template(t *testing.T) string {
	t.Helper()
	args := []string{"template", "meshway", chartDir, "--namespace", "meshway-system"}
	out, err := helm(t, append(args, r.flags()...)...)
	require.NoError(t, err, out)
	return out
}

// imageFlag names the image, for which the values of a rendering may set another one.
const imageFlag = "--values=testdata/values/image.yaml"

func (r rendering) flags() []string {
	flags := []string{imageFlag}
	for _, file := range r.values {
		flags = append(flags, "--values", file)
	}
	return flags
}

// notes returns the notes that `helm install` prints.
func (r rendering) notes(t *testing.T) string {
	t.Helper()
	args := []string{"install", "meshway", chartDir, "--namespace", "meshway-system", "--dry-run=client"}
	out, err := helm(t, append(args, r.flags()...)...)
	require.NoError(t, err, out)
	_, notes, found := strings.Cut(out, "\nNOTES:\n")
	require.True(t, found, out)
	return notes
}

// helm runs Helm without the user's plugins and kubeconfig. Without an error it returns
// the standard output only.
func helm(t *testing.T, args ...string) (string, error) {
	t.Helper()
	stdout, stderr, err := helmSplit(t, args...)
	if err != nil {
		return stdout + stderr, err
	}
	return stdout, nil
}

func helmSplit(t *testing.T, args ...string) (string, string, error) {
	t.Helper()
	binaries, err := components.Build(t.Context(), t.Output())
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), binaries.Path("helm"), args...)
	home := t.TempDir()
	cmd.Env = []string{"HOME=" + home, "PATH=" + os.Getenv("PATH"), "KUBECONFIG=" + filepath.Join(home, "none")}
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err = cmd.Run()
	return stdout.String(), stderr.String(), err
}

// golden compares a text with a file, which it overwrites before with -update.
func golden(t *testing.T, file, text string) {
	t.Helper()
	if *update {
		require.NoError(t, os.WriteFile(file, []byte(text), 0o644))
	}
	want, err := os.ReadFile(file)
	require.NoError(t, err, "run go test ./chart -update")
	require.Equal(t, string(want), text, "run go test ./chart -update if this change is intended")
}
