//go:build linux

package nft

import (
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// ownNamespace is the network namespace of the calling thread.
const ownNamespace = "/proc/thread-self/ns/net"

// namespace is a network namespace that another goroutine enters. All threads of meshd
// are in the same one.
type namespace struct{ file *os.File }

// currentNamespace returns the network namespace of the calling thread.
func currentNamespace() (*namespace, error) {
	f, err := os.Open(ownNamespace)
	if err != nil {
		return nil, fmt.Errorf("open the network namespace: %w", err)
	}
	return &namespace{f}, nil
}

// enter moves the goroutine into the namespace, until it ends, and closes n.
func (n *namespace) enter() error {
	defer n.file.Close()
	want, err := n.file.Stat()
	if err != nil {
		return fmt.Errorf("enter a network namespace: %w", err)
	}
	runtime.LockOSThread()
	have, err := os.Stat(ownNamespace)
	if err == nil && os.SameFile(want, have) {
		runtime.UnlockOSThread()
		return nil
	}
	if err := unix.Setns(int(n.file.Fd()), unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("enter a network namespace: %w", err)
	}
	return nil // the thread stays locked, and ends with the goroutine
}
