package raftnode

import (
	"context"
	"log/slog"
	"time"

	"github.com/meshway/meshway/consensus/raftnode/internal/disk"
	"github.com/meshway/meshway/consensus/raftnode/internal/fsm"
)

// markInterval is how often the applied mark is written. After a crash, a member
// without quorum may serve a state that is older by this much.
const markInterval = time.Second

// marker writes the applied mark of a store.
type marker struct {
	store   *disk.Store
	fsm     *fsm.Machine
	log     *slog.Logger
	written uint64
}

// run writes the mark soon after it changed, and when ctx ends.
func (m *marker) run(ctx context.Context) {
	for running := true; running; {
		index, changed := m.fsm.Applied()
		m.write(index)
		select {
		case <-changed:
			running = sleep(ctx, markInterval)
		case <-ctx.Done():
			running = false
		}
	}
	index, _ := m.fsm.Applied()
	m.write(index)
}

// write writes index, unless it is the mark already.
func (m *marker) write(index uint64) {
	if index == m.written {
		return
	}
	if err := m.store.SetAppliedMark(index); err != nil {
		m.log.Warn("failed to write the applied mark of the catalog", "index", index, "err", err)
		return
	}
	m.written = index
}
