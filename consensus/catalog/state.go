package catalog

import (
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/hashicorp/go-memdb"
	"google.golang.org/protobuf/proto"

	"github.com/meshway/meshway/consensus/catalog/catalogpb"
)

// ErrUnknownCommand is what errors.Is finds when the log holds a command that
// this build does not know. To skip it would make this member differ from the
// others, so it must stop until it is upgraded.
var ErrUnknownCommand = errors.New("command unknown to this version of meshd: upgrade it")

// State is the replicated state: what the log, applied from its start, makes.
// The same log gives the same state, results and snapshot bytes on every member.
// Apply and Restore are for one caller, the raft shell; all methods may be
// called concurrently.
type State struct {
	write sync.Mutex // held through Apply and Restore

	mu      sync.RWMutex // guards all following
	db      *memdb.MemDB
	changed chan struct{}
}

// New returns an empty catalog.
func New() *State {
	return &State{db: newDB(), changed: make(chan struct{})}
}

// Apply applies one log entry, the bytes of Marshal, and gives a result for each
// of its commands. A command that breaks a rule is refused in its result and
// changes nothing; the others of its entry are applied. Readers see the whole
// entry or nothing of it.
//
// An entry at or below the last applied index is already in the state: it
// changes nothing and has no results.
//
// An error means that the entry cannot be understood: it is no entry, or holds a
// command that is unknown and not ignorable (ErrUnknownCommand). Nothing of it
// was applied, and the member must stop.
func (s *State) Apply(index uint64, entry []byte) ([]Result, error) {
	s.write.Lock()
	defer s.write.Unlock()
	cmds, err := unmarshalEntry(entry)
	if err != nil {
		return nil, fmt.Errorf("apply entry %d: %w", index, err)
	}
	txn := s.current().Txn(true)
	defer txn.Abort() // of no effect after Commit
	if index <= appliedIndex(txn) {
		return nil, nil
	}
	w := &writer{txn: txn, index: index}
	results := make([]Result, 0, len(cmds))
	for i, cmd := range cmds {
		if err := known(cmd); err != nil && !cmd.GetIgnorable() {
			return nil, fmt.Errorf("apply entry %d, command %d by %q: %w", index, i, cmd.GetAuthor(), err)
		}
		results = append(results, w.command(cmd))
	}
	w.sweep()
	insert(txn, tableMeta, &meta{Index: index})
	txn.Commit()
	s.replace(s.current())
	return results, nil
}

// Restore replaces the whole state by that of a snapshot, or leaves it as it is
// when the snapshot is not good. Views taken before keep what they show;
// Changed fires.
func (s *State) Restore(r io.Reader) error {
	restored, err := Decode(r)
	if err != nil {
		return err
	}
	s.write.Lock()
	defer s.write.Unlock()
	s.replace(restored.current())
	return nil
}

// View gives the state as it is now. It never changes, costs nothing to
// take and may be kept.
func (s *State) View() *View {
	return &View{txn: s.current().Txn(false)}
}

// Changed gives a channel that is closed when the next entry is applied, or a
// snapshot restored, after this call. Take it before the View, else a change in
// between is missed.
func (s *State) Changed() <-chan struct{} {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.changed
}

func (s *State) current() *memdb.MemDB {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.db
}

// replace swaps the tables and wakes those who wait.
func (s *State) replace(db *memdb.MemDB) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.db = db
	close(s.changed)
	s.changed = make(chan struct{})
}

func unmarshalEntry(b []byte) ([]*catalogpb.Command, error) {
	var entry catalogpb.Entry
	if err := proto.Unmarshal(b, &entry); err != nil {
		return nil, fmt.Errorf("decode entry: %w", err)
	}
	if len(entry.ProtoReflect().GetUnknown()) > 0 {
		return nil, fmt.Errorf("decode entry: %w", ErrUnknownCommand)
	}
	return entry.GetCommands(), nil
}

// known says whether this build knows what cmd means. A body that it does not
// know is no body to protobuf: the field is kept among the unknown ones.
func known(cmd *catalogpb.Command) error {
	switch {
	case cmd.GetVersion() == 0 || cmd.GetVersion() > Version:
		return fmt.Errorf("version %d, this build knows %d: %w", cmd.GetVersion(), Version, ErrUnknownCommand)
	case cmd.GetBody() == nil, len(cmd.ProtoReflect().GetUnknown()) > 0:
		return ErrUnknownCommand
	}
	return nil
}
