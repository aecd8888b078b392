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

// portFree tries a UDP port in both families and names who has it.
func portFree(port uint16) error {
	if port == 0 {
		return nil
	}
	for _, network := range []string{"udp4", "udp6"} {
		conn, err := net.ListenUDP(network, &net.UDPAddr{Port: int(port)})
		switch {
		case err == nil:
			_ = conn.Close() // nothing was sent; nothing can be lost
		case errors.Is(err, unix.EADDRINUSE):
			return fmt.Errorf("listen on UDP port %d: in use by %s; stop it, or choose another WireGuard port: %w",
				port, portOwner(port), unix.EADDRINUSE)
		}
	}
	return nil
}

// portOwner describes the process that has a UDP port open. It is for an
// error message, hence best effort.
func portOwner(port uint16) string {
	for _, table := range []string{"udp", "udp6"} {
		inode, found := socketInode("/proc/thread-self/net/"+table, port)
		if !found {
			continue
		}
		if inode == "0" {
			return "the kernel (a WireGuard interface?)"
		}
		if pid, ok := socketOwner(inode); ok {
			comm, _ := os.ReadFile("/proc/" + pid + "/comm")
			return fmt.Sprintf("process %s (%s)", pid, strings.TrimSpace(string(comm)))
		}
	}
	return "an unknown process"
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

func socketOwner(inode string) (pid string, ok bool) {
	fds, err := filepath.Glob("/proc/[0-9]*/fd/*")
	if err != nil {
		return "", false
	}
	for _, fd := range fds {
		if target, err := os.Readlink(fd); err == nil && target == "socket:["+inode+"]" {
			pid = strings.Split(fd, "/")[2]
			_, err := strconv.Atoi(pid)
			return pid, err == nil
		}
	}
	return "", false
}
