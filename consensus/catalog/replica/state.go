package replica

import (
	"fmt"
	"io"
	"iter"
	"slices"
	"sync"

	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/catalogpb"
	"github.com/meshway/meshway/consensus/catalog/quota"
	"github.com/meshway/meshway/consensus/catalog/replica/internal/table"
)

// State is the replicated state, the result of applying the log from its start.
// The same log produces the same state, results and snapshot bytes on every
// member. Only the code that runs raft calls Apply and Restore. All methods may be
// called concurrently.
type State struct {
	write    sync.Mutex                                   // held during Apply and Restore
	observer Observer                                     // nil: none
	applied  func([]*catalogpb.Command, []catalog.Result) // nil: none

	mu       sync.RWMutex // guards the following fields
	db       *table.DB
	tally    quota.Tally // of the records in db
	changed  chan struct{}
	topology chan struct{}
}

// New returns an empty catalog.
func New() *State {
	return &State{db: newDB(), tally: quota.NewTally(), changed: make(chan struct{}), topology: make(chan struct{})}
}

// Observer is called with each change of a state, in order: with the views before and
// after it, and what was stored in place of what, as pointers to records that must not
// be modified; nil stands for no record. After Restore, changes is nil.
type Observer func(before, after *View, changes iter.Seq2[any, any])

// Observe sets the observer. It must be called before the first change.
func (s *State) Observe(o Observer) { s.observer = o }

// OnApply sets what is called with the commands of each entry, and their results, before
// readers see their changes. It must be called before the first change.
func (s *State) OnApply(f func([]*catalogpb.Command, []catalog.Result)) { s.applied = f }

// Apply applies one log entry, as encoded by Marshal, and returns a result for each
// of its commands. A command that breaks a rule has a Refusal in its result and
// changes nothing; the other commands of the entry are applied. Readers see all
// changes of an entry at once.
//
// An entry at or below the last applied index is already part of the state: Apply
// changes nothing and returns no results.
//
// An error means that the entry cannot be decoded or holds a command that is
// unknown and not ignorable (ErrUnknownCommand). In this case Apply has changed
// nothing, and the member must stop.
func (s *State) Apply(index uint64, entry []byte) ([]catalog.Result, error) {
	cmds, err := catalog.Unmarshal(entry)
	if err != nil {
		return nil, fmt.Errorf("apply entry %d: %w", index, err)
	}
	return s.ApplyCommands(index, cmds)
}

// ApplyCommands is Apply for an entry that is decoded.
func (s *State) ApplyCommands(index uint64, cmds []*catalogpb.Command) ([]catalog.Result, error) {
	s.write.Lock()
	defer s.write.Unlock()
	txn := s.current().Write()
	if index <= appliedIndex(txn) {
		return nil, nil
	}
	w := &writer{txn: txn, index: index, clients: s.clients()}
	results := make([]catalog.Result, 0, len(cmds))
	for i, cmd := range cmds {
		if err := catalog.CheckSupported(cmd); err != nil && !cmd.GetIgnorable() {
			return nil, fmt.Errorf("apply entry %d, command %d by %q: %w", index, i, cmd.GetAuthor(), err)
		}
		results = append(results, w.command(cmd))
	}
	w.sweep()
	insert(txn, tableMeta, &meta{Index: index})
	if s.applied != nil {
		s.applied(cmds, results)
	}
	s.commit(txn)
	return results, nil
}

// Restore replaces the whole state by that of a snapshot and notifies Changed. If
// the snapshot is not valid, it returns an error of Decode and changes nothing.
// Views that were taken before do not change.
func (s *State) Restore(r io.Reader) error {
	restored, err := Decode(r)
	if err != nil {
		return err
	}
	s.write.Lock()
	defer s.write.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.view()
	s.db, s.tally = restored.db, restored.tally
	s.observe(before, nil)
	s.notify(true)
	return nil
}

// View returns an immutable view of the current state. Taking and keeping a view is
// cheap.
func (s *State) View() *View {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.view()
}

// view returns a view; s.mu is held.
func (s *State) view() *View { return &View{txn: s.db.Read()} }

// Changed returns a channel that is closed when the next entry is applied or a
// snapshot is restored after this call. Call it before View, otherwise a change
// between the two calls is missed.
func (s *State) Changed() <-chan struct{} {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.changed
}

// TopologyChanged is Changed for the records of a topology: the federation, its
// datacenters and gateways, and their observations. Most entries change others, which
// no data plane depends on.
func (s *State) TopologyChanged() <-chan struct{} {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.topology
}

func (s *State) current() *table.DB {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.db
}

func (s *State) clients() int {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.tally.Clients()
}

// commit commits the changes of an entry and notifies Changed.
func (s *State) commit(txn *table.Txn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	changes := txn.Changes()
	tally(&s.tally, changes)
	before := s.view()
	txn.Commit()
	s.observe(before, func(yield func(before, after any) bool) {
		for _, c := range changes {
			if !yield(c.Before, c.After) {
				return
			}
		}
	})
	s.notify(slices.ContainsFunc(changes, inTopology))
}

// observe calls the observer; s.mu is held, so that no reader is ahead of it.
func (s *State) observe(before *View, changes iter.Seq2[any, any]) {
	if s.observer != nil {
		s.observer(before, s.view(), changes)
	}
}

func inTopology(c table.Change) bool {
	switch c.Table {
	case tableFederation, tableDatacenters, tableGateways, tableObservations:
		return true
	}
	return false
}

// tally counts the changes of a transaction.
func tally(t *quota.Tally, changes []table.Change) {
	for _, c := range changes {
		t.Replace(c.Before, c.After)
	}
}

// notify closes Changed, and TopologyChanged if topology is set; s.mu is held.
func (s *State) notify(topology bool) {
	close(s.changed)
	s.changed = make(chan struct{})
	if topology {
		close(s.topology)
		s.topology = make(chan struct{})
	}
}
