package disk

import (
	"context"
	"log/slog"
	"time"
)

// markInterval is how often the applied mark is written. After a crash, a member
// without quorum may serve a state that is older by this much.
const markInterval = time.Second

// KeepAppliedMark writes the applied mark soon after it changed, and when ctx ends.
// applied returns the mark and a channel that is closed at its next change.
func (s *Store) KeepAppliedMark(ctx context.Context, applied func() (uint64, <-chan struct{}), log *slog.Logger) {
	var written uint64
	write := func(index uint64) {
		if index == written {
			return
		}
		if err := s.SetAppliedMark(index); err != nil {
			log.Warn("failed to write the applied mark of the catalog", "index", index, "err", err)
			return
		}
		written = index
	}
	for ctx.Err() == nil {
		index, changed := applied()
		write(index)
		select {
		case <-changed:
		case <-ctx.Done():
			continue
		}
		pause := time.NewTimer(markInterval)
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
		}
	}
	index, _ := applied()
	write(index)
}
