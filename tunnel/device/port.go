package device

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// OtherContainer is the pid of a process that serves an interface from another
// container, whose files under /proc cannot be read.
const OtherContainer = -1

// portFree returns an error, which names the process, if a UDP port is in use
// in either family. The process allowed, if it is not 0, may have the port.
func portFree(port uint16, allowed int) error {
	if port == 0 {
		return nil
	}
	for _, network := range []string{"udp4", "udp6"} {
		conn, err := net.ListenUDP(network, &net.UDPAddr{Port: int(port)})
		if err == nil {
			_ = conn.Close() // nothing was sent; nothing can be lost
			continue
		}
		if !errors.Is(err, unix.EADDRINUSE) {
			continue // the family is off on this host
		}
		pid, owner := portOwner(port)
		otherContainer := allowed == OtherContainer && pid == 0
		if allowed == 0 || pid != allowed && !otherContainer {
			return fmt.Errorf("listen on UDP port %d: in use by %s; stop it, or choose another WireGuard port: %w",
				port, owner, unix.EADDRINUSE)
		}
	}
	return nil
}

// portOwner returns the process that has a UDP port open, 0 if it is unknown,
// and its description for an error message.
func portOwner(port uint16) (pid int, description string) {
	for _, table := range []string{"udp", "udp6"} {
		inode, found := socketInode("/proc/thread-self/net/"+table, port)
		if !found {
			continue
		}
		if pid, ok := socketOwner(inode); ok {
			comm, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
			return pid, fmt.Sprintf("process %d (%s)", pid, strings.TrimSpace(string(comm)))
		}
		// No process has the inode of a socket of the kernel itself.
		return 0, "no process of this pid namespace (a WireGuard interface of the kernel?)"
	}
	return 0, "an unknown process"
}

// socketInode searches a table in the format of /proc/net/udp (proc(5)).
func socketInode(table string, port uint16) (inode string, found bool) {
	f, err := os.Open(table)
	if err != nil {
		return "", false
	}
	defer f.Close()
	want := fmt.Sprintf(":%04X", port)
	for s := bufio.NewScanner(f); s.Scan(); {
		fields := strings.Fields(s.Text())
		if len(fields) > 9 && strings.HasSuffix(fields[1], want) {
			return fields[9], true
		}
	}
	return "", false
}

func socketOwner(inode string) (pid int, ok bool) {
	fds, err := filepath.Glob("/proc/[0-9]*/fd/*")
	if err != nil {
		return 0, false
	}
	for _, fd := range fds {
		if target, err := os.Readlink(fd); err == nil && target == "socket:["+inode+"]" {
			pid, err = strconv.Atoi(strings.Split(fd, "/")[2])
			return pid, err == nil
		}
	}
	return 0, false
}
