package userspace

import (
	"context"
	"log/slog"
	"os"

	"golang.zx2c4.com/wireguard/conn"
	"golang.zx2c4.com/wireguard/tun"
)

// NewBind returns the bind of a data plane process.
func NewBind() conn.Bind { return newBind() }

// SuperviseInterval is the time after which a supervisor reads the requests
// without an event.
const SuperviseInterval = superviseInterval

// SuperviseByPolling is Supervisor.Run on a host without inotify.
func SuperviseByPolling(ctx context.Context, dir string) error {
	executable, err := os.Executable()
	if err != nil {
		return err
	}
	return Supervisor{Dir: dir, Executable: executable, Log: slog.New(slog.DiscardHandler)}.supervise(ctx, nil, pollRequests)
}

// OpenTUN creates the interface of a data plane process.
func OpenTUN(name string) (tun.Device, error) {
	return openTUN(Options{Interface: name, MTU: 1420})
}
