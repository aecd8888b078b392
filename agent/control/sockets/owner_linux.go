package sockets

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// process is a running process.
type process struct {
	pid  int
	name string
}

// String returns the process in the form of an error message.
func (p process) String() string { return fmt.Sprintf("process %d (%s)", p.pid, p.name) }

// listening is the state of a listening socket in /proc/net/tcp (proc_net_tcp.rst).
const listening = "0A"

// portOwner returns the process that listens on a TCP port of this network
// namespace. It finds the inode of the socket in /proc/net/tcp{,6}, then a process
// that has it open; only root can inspect the processes of other users. proc is
// "/proc", or a directory like it.
func portOwner(proc string, port uint16) (process, bool) {
	inodes := make(map[string]bool)
	// thread-self: the main thread can be in another namespace.
	for _, table := range []string{"thread-self/net/tcp", "thread-self/net/tcp6"} {
		for _, inode := range listeningInodes(filepath.Join(proc, table), port) {
			inodes["socket:["+inode+"]"] = true
		}
	}
	if len(inodes) == 0 {
		return process{}, false
	}
	links, err := filepath.Glob(filepath.Join(proc, "[0-9]*/fd/[0-9]*"))
	if err != nil {
		return process{}, false
	}
	for _, link := range links {
		target, err := os.Readlink(link)
		if err != nil || !inodes[target] {
			continue // closed in the meantime, or not permitted
		}
		return describe(proc, link)
	}
	return process{}, false
}

// listeningInodes returns the inodes of the sockets that listen on a port, from a
// table of /proc/net. Columns: sl, local_address, rem_address,
// st, tx:rx, tr:when, retrnsmt, uid, timeout, inode.
func listeningInodes(path string, port uint16) []string {
	f, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer f.Close()
	suffix := fmt.Sprintf(":%04X", port)
	var inodes []string
	for lines := bufio.NewScanner(f); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if len(fields) > 9 && fields[3] == listening && strings.HasSuffix(fields[1], suffix) {
			inodes = append(inodes, fields[9])
		}
	}
	return inodes
}

// describe returns the process of a link /proc/PID/fd/N.
func describe(proc, link string) (process, bool) {
	relative, err := filepath.Rel(proc, link)
	if err != nil {
		return process{}, false
	}
	pid, _, _ := strings.Cut(relative, string(filepath.Separator))
	number, err := strconv.Atoi(pid)
	if err != nil {
		return process{}, false
	}
	name, err := os.ReadFile(filepath.Join(proc, pid, "comm"))
	if err != nil {
		name = []byte("unknown")
	}
	return process{pid: number, name: strings.TrimSpace(string(name))}, true
}
