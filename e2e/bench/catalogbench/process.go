//go:build linux

package catalogbench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// The roles of a process of this program, given by its first argument; the second one
// is the configuration as JSON.
const (
	roleMember = "catalogbench-member"
	roleEtcd   = "catalogbench-etcd"
)

// Main runs the role for which another process of this program started this one, and
// then exits. In other processes it returns without effect.
func Main() {
	if len(os.Args) != 3 {
		return
	}
	var err error
	switch os.Args[1] {
	case roleMember:
		err = runMember(os.Args[2])
	case roleEtcd:
		err = runEtcd(os.Args[2])
	default:
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// process is a process in a role.
type process struct {
	cmd  *exec.Cmd
	log  string
	done chan struct{} // closed when it has been waited for
}

// spawn starts this program in a role. Its log is a file in dir. The process is killed
// when ctx ends, and by the kernel when this process ends.
func spawn(ctx context.Context, role, dir string, config any) (*process, error) {
	text, err := json.Marshal(config)
	if err != nil {
		return nil, fmt.Errorf("encode the configuration of %s: %w", role, err)
	}
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find own executable: %w", err)
	}
	p := &process{cmd: exec.CommandContext(ctx, self, role, string(text)), log: filepath.Join(dir, "log"), done: make(chan struct{})}
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open log of %s: %w", role, err)
	}
	defer log.Close() // the process has its own descriptor
	p.cmd.Stdout, p.cmd.Stderr = log, log
	// Setsid: Ctrl-C interrupts only the bench, which then ends its processes.
	p.cmd.SysProcAttr = &unix.SysProcAttr{Pdeathsig: unix.SIGKILL, Setsid: true}
	started := make(chan error, 1)
	go func() {
		// The signal is sent when the thread that forked ends: it is kept until the
		// process has ended.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := p.cmd.Start()
		started <- err
		if err == nil {
			_ = p.cmd.Wait() // processes are killed: the status has no meaning
		}
		close(p.done)
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", role, err)
	}
	return p, nil
}

// kill ends the process and waits for its end.
func (p *process) kill() {
	_ = p.cmd.Process.Kill() // it may have ended
	<-p.done
}

// failed returns an error with the end of the log if the process has ended.
func (p *process) failed() error {
	select {
	case <-p.done:
		text, _ := os.ReadFile(p.log) // the error names the file
		return fmt.Errorf("a process ended, see %s: %s", p.log, text[max(0, len(text)-2000):])
	default:
		return nil
	}
}

func (p *process) pid() int { return p.cmd.Process.Pid }

// written returns the bytes that a process has sent to the storage layer, as the
// kernel counts them: pages that it made dirty.
func written(pid int) (float64, error) { return field(fmt.Sprintf("/proc/%d/io", pid), "write_bytes:") }

// resident returns the resident memory of a process, in MiB.
func resident(pid int) (float64, error) {
	kib, err := field(fmt.Sprintf("/proc/%d/status", pid), "VmRSS:")
	return kib / 1024, err
}

// field returns the number after a name in a file of /proc.
func field(path, name string) (float64, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, fmt.Errorf("read counters: %w", err)
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, name); ok {
			return strconv.ParseFloat(strings.Fields(rest)[0], 64)
		}
	}
	return 0, errors.New(path + " has no " + name)
}
