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

// OtherContainer is the process of an interface that is in another container: its
// files under /proc cannot be looked at.
const OtherContainer = -1

// portFree tries a UDP port in both families and names who has it. The
// process friend, if it is not 0, may have it.
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

// portOwner finds the process that has a UDP port open, 0 if it cannot be
// told, and describes it for an error message.
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
		// The kernel's own sockets have an inode that no process holds.
		return 0, "no process that can be seen here (a WireGuard interface of the kernel?)"
	}
	return 0, "an unknown process"
}

// socketInode reads a table as proc(5) describes under /proc/net/udp.
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
