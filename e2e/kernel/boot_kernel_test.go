//go:build linux && kernel

package kernel

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const (
	// bootTimeout bounds the run of the machine, testTimeout that of the tests
	// in it. The tests' timeout is shorter because it prints stack traces.
	bootTimeout = 5 * time.Minute
	testTimeout = 4 * time.Minute
)

func TestKernelDataPlanePassesItsTestsInAVirtualMachine(t *testing.T) {
	requireTools(t)
	image := findKernel(t)
	tests := buildTests(t)
	initrd := buildInitrd(t, image, tests)
	console := boot(t, image, initrd)

	exit := regexp.MustCompile(`(?m)^meshway-vm: tests ended with exit code (\d+)$`).FindStringSubmatch(console)
	require.NotNil(t, exit, "the machine stopped without printing the exit code of its tests; see its output above")
	require.Equal(t, "0", exit[1], "tests in the machine failed; see its output above")
	require.Regexp(t, `(?m)^--- PASS: Test`, console, "no test ran")
}

// requireTools fails the test with a list of all missing programs.
func requireTools(t *testing.T) {
	t.Helper()
	// Debian installs modprobe in a directory that is not in a user's PATH.
	t.Setenv("PATH", os.Getenv("PATH")+":/usr/sbin:/sbin")
	var missing []string
	for _, need := range [][2]string{
		{"qemu-system-x86_64", "qemu-system-x86"},
		{"busybox", "busybox-static"},
		{"cpio", "cpio"},
		{"modprobe", "kmod"},
	} {
		if _, err := exec.LookPath(need[0]); err != nil {
			missing = append(missing, need[1])
		}
	}
	require.Empty(t, missing, "this test runs a virtual machine: apt-get install %s", strings.Join(missing, " "))
}

// buildTests compiles the tests of tunnel/kernel, statically.
func buildTests(t *testing.T) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "tests")
	cmd := exec.CommandContext(t.Context(), "go", "test", "-c", "-tags", "vm", "-ldflags", "-s -w", "-o", binary, "./tunnel/kernel")
	cmd.Dir = filepath.Join("..", "..")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64")
	run(t, cmd)
	return binary
}

// boot runs the machine until it powers off and returns its output, which is
// also written to the test's log. The machine has no network device. It is
// always emulated: in a virtual machine, KVM may exist without working.
func boot(t *testing.T, image kernelImage, initrd string) string {
	t.Helper()
	ctx, cancel := context.WithTimeoutCause(t.Context(), bootTimeout, fmt.Errorf("the machine did not end within %s", bootTimeout))
	defer cancel()
	var console bytes.Buffer
	cmd := exec.CommandContext(ctx, "qemu-system-x86_64",
		"-M", "pc,accel=tcg", "-cpu", "max", "-smp", "2", "-m", "512",
		"-nodefaults", "-no-user-config", "-no-reboot", "-display", "none", "-serial", "stdio",
		"-kernel", image.vmlinuz(), "-initrd", initrd,
		"-append", "console=ttyS0 panic=-1 quiet TEST_TIMEOUT="+testTimeout.String())
	cmd.Stdout = io.MultiWriter(lines{&console}, lines{t.Output()})
	cmd.Stderr = t.Output()
	// The kernel kills the machine when the test is killed.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	started := time.Now()
	if err := cmd.Run(); err != nil {
		require.NoError(t, errors.Join(err, context.Cause(ctx)))
	}
	t.Logf("the machine ran for %s", time.Since(started).Round(time.Second))
	return console.String()
}

// lines removes the carriage returns of a serial console.
type lines struct{ io.Writer }

func (l lines) Write(p []byte) (int, error) {
	_, err := l.Writer.Write(bytes.ReplaceAll(p, []byte("\r"), nil))
	return len(p), err
}

// run runs a command and returns its standard output.
func run(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	require.NoError(t, err, "%s\n%s", cmd, stderr.String())
	return string(out)
}
