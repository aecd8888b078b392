package portowner

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Of returns the process that has a port of a network ("tcp" or "udp") open in this
// network namespace, as error messages name it: "process 77 (nginx)", or "another
// process" if it cannot be found: only root can inspect the processes of other users,
// and those outside a container are not visible in it. On TCP only a process that
// listens counts.
func Of(network string, port uint16) string { return of("/proc", network, port) }

// of finds the inode of the socket in /proc/net, then a process that has it open. proc
// is "/proc", or a directory like it.
func of(proc, network string, port uint16) string {
	const unknown = "another process"
	inodes := make(map[string]bool)
	// thread-self: the main thread can be in another namespace.
	for _, table := range []string{network, network + "6"} {
		for _, inode := range inodesOf(filepath.Join(proc, "thread-self/net", table), network, port) {
			inodes["socket:["+inode+"]"] = true
		}
	}
	if len(inodes) == 0 {
		return unknown
	}
	links, err := filepath.Glob(filepath.Join(proc, "[0-9]*/fd/[0-9]*"))
	if err != nil {
		return unknown
	}
	for _, link := range links {
		target, err := os.Readlink(link)
		if err != nil || !inodes[target] {
			continue // closed in the meantime, or not permitted
		}
		if owner, ok := describe(proc, link); ok {
			return owner
		}
	}
	return unknown
}

// inodesOf returns the inodes of the sockets of a port, on TCP only of those that
// listen, from a table of /proc/net (proc_net_tcp.rst). Columns: sl, local_address, rem_address,
// st, tx:rx, tr:when, retrnsmt, uid, timeout, inode.
func inodesOf(path, network string, port uint16) []string {
	f, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer f.Close()
	const listening = "0A"
	suffix := fmt.Sprintf(":%04X", port)
	var inodes []string
	for lines := bufio.NewScanner(f); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if len(fields) > 9 && (network != "tcp" || fields[3] == listening) && strings.HasSuffix(fields[1], suffix) {
			inodes = append(inodes, fields[9])
		}
	}
	return inodes
}

// describe returns the process of a link /proc/PID/fd/N.
func describe(proc, link string) (string, bool) {
	relative, err := filepath.Rel(proc, link)
	if err != nil {
		return "", false
	}
	pid, _, _ := strings.Cut(relative, string(filepath.Separator))
	number, err := strconv.Atoi(pid)
	if err != nil {
		return "", false
	}
	name, err := os.ReadFile(filepath.Join(proc, pid, "comm"))
	if err != nil {
		name = []byte("unknown")
	}
	return fmt.Sprintf("process %d (%s)", number, strings.TrimSpace(string(name))), true
}
