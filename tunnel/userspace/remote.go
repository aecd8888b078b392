package userspace

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/google/renameio/v2"
	"github.com/vishvananda/netlink"

	"github.com/meshway/meshway/tunnel/device"
)

// remoteWait is the maximum time to wait for the supervisor. The agent's next
// pass tries again.
const remoteWait = 5 * time.Second

// Remote is the backend of an agent in a container, where processes that the
// agent starts would end with it. It writes one request file per interface to
// Dir; a Supervisor in another container runs the data plane processes.
type Remote struct{ Dir string }

// Kind implements device.Backend.
func (Remote) Kind() string { return "userspace" }

// Server returns device.OtherContainer.
func (Remote) Server(string) int { return device.OtherContainer }

// Create implements device.Backend. It writes the request, and returns when the
// data plane process accepts connections on its socket.
func (r Remote) Create(ctx context.Context, name string, mtu int) error {
	if err := r.writeRequest(name, mtu); err != nil {
		return fmt.Errorf("request data plane of %s: %w", name, err)
	}
	err := await(ctx, func() (bool, error) {
		conn, err := dialSocket(name)
		if err != nil {
			return false, nil // not yet
		}
		return true, conn.Close()
	})
	if err != nil {
		return fmt.Errorf("wait for data plane of %s: %w; check that the data plane pod of this node is running", name, err)
	}
	return nil
}

// Remove implements device.Backend. It removes the request and waits until the
// interface is gone. If no supervisor is running it deletes the interface itself.
func (r Remote) Remove(ctx context.Context, name string) error {
	if err := os.Remove(filepath.Join(r.Dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove data plane request of %s: %w", name, err)
	}
	err := await(ctx, func() (bool, error) {
		_, err := netlink.LinkByName(name)
		if errors.As(err, new(netlink.LinkNotFoundError)) {
			return true, nil
		}
		return false, err
	})
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		return deleteLink(name)
	}
	if err != nil {
		return fmt.Errorf("wait for the removal of %s: %w", name, err)
	}
	return nil
}

// writeRequest writes the request atomically.
func (r Remote) writeRequest(name string, mtu int) error {
	if err := os.MkdirAll(r.Dir, 0o700); err != nil {
		return err
	}
	// The name of the temporary file begins with partialPrefix.
	return renameio.WriteFile(filepath.Join(r.Dir, name), []byte(strconv.Itoa(mtu)+"\n"), 0o600, renameio.WithTempDir(r.Dir))
}

// await polls done until it returns true or an error, for at most remoteWait.
func await(ctx context.Context, done func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, remoteWait)
	defer cancel()
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		if ok, err := done(); ok || err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
