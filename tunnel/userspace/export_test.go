package userspace

import (
	"context"
	"log/slog"
	"os"
)

// SuperviseInterval is how often a supervisor looks without being told.
const SuperviseInterval = superviseInterval

// SuperviseByPolling is Supervisor.Run on a host that tells of no requests.
func SuperviseByPolling(ctx context.Context, dir string) error {
	executable, err := os.Executable()
	if err != nil {
		return err
	}
	return Supervisor{Dir: dir, Executable: executable, Log: slog.New(slog.DiscardHandler)}.supervise(ctx, nil, pollRequests)
}
