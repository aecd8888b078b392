package fsm

import (
	"bytes"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/catalogpb"
	"github.com/meshway/meshway/consensus/catalog/feed"
	"github.com/meshway/meshway/consensus/catalog/quota"
	"github.com/meshway/meshway/consensus/catalog/replica"
)

// Machine is raft's state machine: it applies the log to the catalog. It is not a
// raft.BatchingFSM, because an entry already contains many commands.
//
// It can be ahead of raft. After a start, raft applies the entries after its last
// snapshot again as it learns from a leader that they are committed. The machine
// applied them when the directory was opened, and skips them.
// So a member that starts without quorum serves its last known state, and a view
// never goes back.
type Machine struct {
	state   *replica.State
	feed    *feed.Feed
	history History
	fail    func(error)

	mu      sync.Mutex // guards all following fields
	index   uint64     // of the last command applied
	term    uint64     // of its entry; 0: unknown, since the index came with a snapshot
	err     error      // why applying stopped; later entries are not applied
	changed chan struct{}
}

var _ raft.FSM = (*Machine)(nil)

// History records the commands that are applied, in order.
type History interface {
	Last() uint64 // index of the last entry that it has
	Record(index uint64, cmds []*catalogpb.Command)
	Replaced(index uint64) // the catalog is that of a snapshot with this index
}

// New returns a machine with an empty catalog. It calls fail when an entry cannot
// be applied.
func New(history History, fail func(error)) *Machine {
	f := &Machine{state: replica.New(), feed: feed.New(), history: history, fail: fail, changed: make(chan struct{})}
	f.state.Observe(f.feed.Observe)
	return f
}

// OnApply sets what is called with the commands that are applied; see replica.State.OnApply.
func (f *Machine) OnApply(call func([]*catalogpb.Command, []catalog.Result)) { f.state.OnApply(call) }

// Feed returns the latest changes of the services in View.
func (f *Machine) Feed() *feed.Feed { return f.feed }

// View returns the catalog as it is now.
func (f *Machine) View() *replica.View { return f.state.View() }

// TopologyChanged returns a channel that is closed at the next change of the topology
// in View; see replica.State.TopologyChanged.
func (f *Machine) TopologyChanged() <-chan struct{} { return f.state.TopologyChanged() }

// Judge decides which commands the leader writes; see replica.State.Judge.
func (f *Machine) Judge(cmds []*catalogpb.Command, limits quota.Limits, now time.Time) []replica.Verdict {
	return f.state.Judge(cmds, limits, now)
}

// Apply implements raft.FSM. It returns []catalog.Result or an error.
func (f *Machine) Apply(entry *raft.Log) any {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil {
		return f.err
	}
	if entry.Index <= f.index {
		if entry.Index == f.index {
			f.term = entry.Term
		}
		if entry.Index > f.history.Last() { // the catalog came with a seed
			if cmds, err := catalog.Unmarshal(entry.Data); err == nil {
				f.history.Record(entry.Index, cmds)
			}
		}
		return []catalog.Result(nil)
	}
	results, err := f.apply(entry)
	if err != nil {
		f.err = fmt.Errorf("apply entry %d to the catalog: %w: "+
			"another member may run a newer version; upgrade meshd on this host and start it again", entry.Index, err)
		f.fail(f.err)
		return f.err
	}
	f.advance(entry.Index, entry.Term)
	return results
}

// apply applies an entry to the catalog, and records it.
func (f *Machine) apply(entry *raft.Log) ([]catalog.Result, error) {
	cmds, err := catalog.Unmarshal(entry.Data)
	if err != nil {
		return nil, err
	}
	results, err := f.state.ApplyCommands(entry.Index, cmds)
	if err == nil {
		f.history.Record(entry.Index, cmds)
	}
	return results, err
}

// advance sets the index and the term, and notifies the waiters; f.mu is held.
func (f *Machine) advance(index, term uint64) {
	f.index, f.term = index, term
	close(f.changed)
	f.changed = make(chan struct{})
}

// Snapshot implements raft.FSM. It fails when applying has stopped: raft would
// record the snapshot as one of entries that were never applied.
func (f *Machine) Snapshot() (raft.FSMSnapshot, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil {
		return nil, f.err
	}
	return viewSnapshot{f.state.View()}, nil
}

// Restore implements raft.FSM. A stream that cannot be read changes nothing.
func (f *Machine) Restore(source io.ReadCloser) error {
	defer source.Close()
	index, err := f.restore(source)
	if err == nil {
		f.history.Replaced(index) // without f.mu: it writes to the disk
	}
	return err
}

func (f *Machine) restore(source io.Reader) (index uint64, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil {
		return 0, f.err
	}
	if err := f.state.Restore(source); err != nil {
		return 0, fmt.Errorf("restore the catalog: %w", err)
	}
	index = f.state.View().Index()
	f.advance(index, 0)
	return index, nil
}

// Seed takes over a view of another member, unless the local copy is newer. The
// entries up to its index are skipped later, as after a start.
func (f *Machine) Seed(view *replica.View) error {
	var stream bytes.Buffer
	if err := view.Encode(&stream); err != nil {
		return fmt.Errorf("seed the catalog: %w", err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if view.Index() <= f.index {
		return nil
	}
	if err := f.state.Restore(&stream); err != nil {
		return fmt.Errorf("seed the catalog: %w", err)
	}
	f.advance(view.Index(), 0)
	return nil
}

// Applied returns the index of the last command applied, and a channel that is
// closed when it changes.
func (f *Machine) Applied() (uint64, <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.index, f.changed
}

// Last returns the index and the term of the entry of the last command applied; the
// term is 0 if it is not known.
func (f *Machine) Last() (index, term uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.index, f.term
}

// Federation returns the id of the federation in the catalog; empty: there is none
// yet.
func (f *Machine) Federation() string {
	federation, _ := f.state.View().Federation()
	return federation.ID
}

// viewSnapshot writes a view, which is immutable.
type viewSnapshot struct{ view *replica.View }

func (s viewSnapshot) Persist(sink raft.SnapshotSink) error {
	if err := s.view.Encode(sink); err != nil {
		sink.Cancel() //nolint:errcheck // the first error matters
		return fmt.Errorf("write snapshot: %w", err)
	}
	return sink.Close()
}

func (viewSnapshot) Release() {}
