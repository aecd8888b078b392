package disk

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"

	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"

	"github.com/meshway/meshway/consensus/raftnode/logstore"
)

// Kind is where the entries of the log are.
type Kind string

// The stores.
const (
	WAL  Kind = "wal"  // in segments (logstore)
	Bolt Kind = "bolt" // in raft.db, as builds before the write-ahead log had them
)

const (
	walDir  = "log"
	copyDir = "log.new" // a copy that is not finished
	// kindKey is the key of the kind in raft.db. It decides which log counts.
	kindKey = "meshway-log"
	// fence is the index of an entry of raft.db, which keeps builds that know no other
	// log from starting with an outdated one: they refuse a log with a gap.
	fence = math.MaxUint64
)

// kind returns where the log of the directory is; empty: there is none yet.
func (s *Store) kind() (Kind, error) {
	return kindOf(s.bolt, filepath.Join(s.dir, boltFile))
}

func kindOf(bolt *raftboltdb.BoltStore, path string) (Kind, error) {
	value, err := bolt.Get([]byte(kindKey))
	if err != nil && err.Error() != raftboltdb.ErrKeyNotFound.Error() {
		return "", corrupt(path, err)
	}
	switch kind := Kind(value); kind {
	case WAL, Bolt:
		return kind, nil
	case "":
	default:
		return "", fmt.Errorf("open catalog store %s: its log is of kind %q, which this build does not support: upgrade meshd", path, kind)
	}
	last, err := bolt.LastIndex()
	if err != nil {
		return "", corrupt(path, err)
	}
	if last > 0 {
		return Bolt, nil
	}
	return "", nil
}

func (s *Store) setKind(kind Kind) error { return s.bolt.Set([]byte(kindKey), []byte(kind)) }

// openLog opens the log, and copies it first if it is not of that kind. Empty: it
// stays as it is.
func (s *Store) openLog(kind Kind) error {
	have, err := s.kind()
	if err != nil {
		return err
	}
	if have == WAL {
		if s.wal, err = openWAL(s.dir, s.disk); err != nil {
			return err
		}
	} else if err := s.removeFence(); err != nil {
		return explain(s.logPath(), err)
	}
	if kind == "" {
		kind = have
	}
	switch {
	case kind == Bolt && have == WAL:
		return s.convert(s.toBolt())
	case kind != Bolt && have != WAL:
		return s.convert(s.toWAL())
	}
	return nil
}

func openWAL(dir string, disk Disk) (*logstore.Store, error) {
	path := filepath.Join(dir, walDir)
	wal, err := logstore.Open(path, disk)
	if err != nil {
		return nil, explainMissing(path, err)
	}
	return wal, nil
}

// explainMissing explains an error of opening a log that exists.
func explainMissing(path string, err error) error {
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, logstore.ErrMissing) {
		return corrupt(path, err)
	}
	return explain(path, err)
}

// logs returns the log.
func (s *Store) logs() raft.LogStore {
	if s.wal != nil {
		return s.wal
	}
	return s.bolt
}

func (s *Store) logPath() string {
	if s.wal != nil {
		return filepath.Join(s.dir, walDir)
	}
	return filepath.Join(s.dir, boltFile)
}

// removeFence makes the log in raft.db one that earlier builds accept.
func (s *Store) removeFence() error {
	last, err := s.bolt.LastIndex()
	if err != nil || last != fence {
		return err
	}
	return s.bolt.DeleteRange(fence, fence)
}

// verifyLog checks that every entry after the snapshot can be read. Raft panics when
// it starts if one is missing.
func (s *Store) verifyLog(snapshotIndex uint64) (err error) {
	path := s.logPath()
	defer func() {
		if r := recover(); r != nil {
			err = corrupt(path, fmt.Errorf("%v", r))
		}
	}()
	first, err := s.logs().FirstIndex()
	if err != nil {
		return corrupt(path, err)
	}
	last, err := s.logs().LastIndex()
	if err != nil {
		return corrupt(path, err)
	}
	if last > snapshotIndex && first > snapshotIndex+1 {
		return corrupt(path, fmt.Errorf("the log begins with entry %d, and the snapshot ends with %d", first, snapshotIndex))
	}
	if s.wal != nil {
		return nil // all entries were read when it was opened, and have no gap
	}
	for index := snapshotIndex + 1; index <= last; index++ {
		var entry raft.Log
		if err := s.bolt.GetLog(index, &entry); err != nil {
			return corrupt(path, fmt.Errorf("read entry %d of %d: %w", index, last, err))
		}
	}
	return nil
}
