package userspace

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// The command line of a data plane process, which identifies it.
const (
	command       = "wireguard"
	flagInterface = "--interface"
	flagMTU       = "--mtu"
)

// socketDir is the directory of the control sockets. It is fixed in wireguard-go
// and wgctrl.
const socketDir = "/var/run/wireguard"

func socketPath(name string) string { return socketDir + "/" + name + ".sock" }

// process is a data plane process with a pidfd, which keeps its pid from being
// reused for another process.
type process struct {
	pid int
	fd  int
}

// findProcess returns the process that serves an interface: the peer of its
// control socket (SO_PEERCRED). It returns an error if there is none, or if
// Meshway did not start it.
func findProcess(name string) (*process, error) {
	pid, err := serverPID(name)
	if err != nil {
		return nil, err
	}
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return nil, fmt.Errorf("open pidfd of process %d: %w", pid, err)
	}
	p := &process{pid: pid, fd: fd}
	raw, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cmdline")
	args := bytes.Split(bytes.TrimRight(raw, "\x00"), []byte{0})
	i := slices.IndexFunc(args, func(a []byte) bool { return string(a) == flagInterface })
	if err != nil || i < 0 || i+1 >= len(args) || string(args[i+1]) != name {
		p.Release()
		return nil, fmt.Errorf("process %d serves interface %s but was not started by Meshway", pid, name)
	}
	return p, nil
}

func dialSocket(name string) (net.Conn, error) {
	return net.DialTimeout("unix", socketPath(name), time.Second)
}

// serverPID returns the pid of the process that listens on the control socket of
// an interface.
func serverPID(name string) (int, error) {
	conn, err := dialSocket(name)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	raw, err := conn.(*net.UnixConn).SyscallConn()
	if err != nil {
		return 0, err
	}
	var cred *unix.Ucred
	var credErr error
	err = raw.Control(func(fd uintptr) { cred, credErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) })
	if err := errors.Join(err, credErr); err != nil {
		return 0, fmt.Errorf("get the process that serves interface %s: %w", name, err)
	}
	if cred.Pid == 0 {
		return 0, fmt.Errorf("interface %s is served from another pid namespace", name)
	}
	return int(cred.Pid), nil
}

// terminate sends SIGTERM to the process and waits until it has exited.
func (p *process) terminate(ctx context.Context) error {
	if err := unix.PidfdSendSignal(p.fd, unix.SIGTERM, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("signal process %d: %w", p.pid, err)
	}
	for ctx.Err() == nil {
		// A pidfd is readable when its process has exited.
		fds := []unix.PollFd{{Fd: int32(p.fd), Events: unix.POLLIN}}
		n, err := unix.Poll(fds, int(pollInterval.Milliseconds()))
		if n > 0 {
			return nil
		}
		if err != nil && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("wait for process %d: %w", p.pid, err)
		}
	}
	return fmt.Errorf("wait for process %d: %w", p.pid, ctx.Err())
}

// Release closes the pidfd.
func (p *process) Release() { _ = unix.Close(p.fd) }
