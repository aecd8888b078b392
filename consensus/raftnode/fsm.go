package raftnode

import (
	"bytes"
	"fmt"
	"io"
	"sync"

	"github.com/hashicorp/raft"

	"github.com/meshway/meshway/consensus/catalog"
)

// machine applies the log to the catalog. It is not a raft.BatchingFSM: the
// batcher already packs many commands into one entry.
//
// It may be ahead of raft. After a start raft applies again what follows its
// last snapshot, as a leader tells it what is committed; the machine has
// applied that already when it was opened (see Node.replay) and skips it. So a
// member that starts without quorum serves what it last knew, and a view never
// goes backwards.
type machine struct {
	state *catalog.State
	fail  func(error)

	mu      sync.Mutex // guards all following fields
	index   uint64     // of the last command applied
	err     error      // why applying stopped; later entries are not applied
	changed chan struct{}
}

var _ raft.FSM = (*machine)(nil)

func newMachine(fail func(error)) *machine {
	return &machine{state: catalog.New(), fail: fail, changed: make(chan struct{})}
}

// Apply implements raft.FSM; the answer is []catalog.Result or an error.
func (m *machine) Apply(entry *raft.Log) any {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err != nil {
		return m.err
	}
	if entry.Index <= m.index {
		return []catalog.Result(nil)
	}
	results, err := m.state.Apply(entry.Index, entry.Data)
	if err != nil {
		m.err = fmt.Errorf("apply entry %d to the catalog: %w: "+
			"another member may run a newer version; upgrade meshd here and start it again", entry.Index, err)
		m.fail(m.err)
		return m.err
	}
	m.advance(entry.Index)
	return results
}

// advance wakes those that wait; m.mu is held.
func (m *machine) advance(index uint64) {
	m.index = index
	close(m.changed)
	m.changed = make(chan struct{})
}

// Snapshot implements raft.FSM. A machine that stopped gives none: raft would
// record entries in it that were never applied.
func (m *machine) Snapshot() (raft.FSMSnapshot, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err != nil {
		return nil, m.err
	}
	return viewSnapshot{m.state.View()}, nil
}

// Restore implements raft.FSM. A stream that cannot be read changes nothing.
func (m *machine) Restore(source io.ReadCloser) error {
	defer source.Close()
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err != nil {
		return m.err
	}
	if err := m.state.Restore(source); err != nil {
		return fmt.Errorf("restore the catalog: %w", err)
	}
	m.advance(m.state.View().Index())
	return nil
}

// seed takes a view that another member encoded, unless this one is newer. The
// entries up to its index are skipped later, as after a start.
func (m *machine) seed(view *catalog.View) error {
	var stream bytes.Buffer
	if err := view.Encode(&stream); err != nil {
		return fmt.Errorf("seed the catalog: %w", err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if view.Index() <= m.index {
		return nil
	}
	if err := m.state.Restore(&stream); err != nil {
		return fmt.Errorf("seed the catalog: %w", err)
	}
	m.advance(view.Index())
	return nil
}

// applied returns the index of the last command applied and a channel that is
// closed when it changes.
func (m *machine) applied() (uint64, <-chan struct{}) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.index, m.changed
}

// viewSnapshot streams a view; taking it cost nothing.
type viewSnapshot struct{ view *catalog.View }

func (s viewSnapshot) Persist(sink raft.SnapshotSink) error {
	if err := s.view.Encode(sink); err != nil {
		sink.Cancel() //nolint:errcheck // the first error tells more
		return fmt.Errorf("write snapshot: %w", err)
	}
	return sink.Close()
}

func (viewSnapshot) Release() {}
