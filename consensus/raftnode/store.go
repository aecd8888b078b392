package raftnode

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
	"go.etcd.io/bbolt"
)

const (
	logFile          = "raft.db"
	snapshotsDir     = "snapshots" // made by raft's FileSnapshotStore
	identityFile     = "identity.json"
	retainSnapshots  = 2
	logCacheSize     = 512
	boltTimeout      = time.Second // how long to wait for another process to let go
	probeSize        = 64 << 10    // what must fit on the disk to start at all
	appliedMarkKey   = "meshway-applied"
	corruptionRemedy = "if this gateway can rejoin, move the directory away and start again: " +
		"the other members send a new copy; if it is the last one, restore a snapshot"
)

// store is what lies in a data directory.
type store struct {
	dir   string
	bolt  *raftboltdb.BoltStore
	snaps *raft.FileSnapshotStore
}

// openStore opens dir, making it when missing. Every error names the path and
// says what to do.
func openStore(dir string, log hclog.Logger) (*store, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, explain(dir, err)
	}
	if err := probe(dir); err != nil {
		return nil, explain(dir, err)
	}
	path := filepath.Join(dir, logFile)
	if err := verifyPages(path); err != nil {
		return nil, err
	}
	bolt, err := openBolt(path, false)
	if err != nil {
		return nil, err
	}
	snaps, err := raft.NewFileSnapshotStoreWithLogger(dir, retainSnapshots, log)
	if err != nil {
		return nil, errors.Join(explain(filepath.Join(dir, snapshotsDir), err), bolt.Close())
	}
	return &store{dir: dir, bolt: bolt, snaps: snaps}, nil
}

func (s *store) Close() error { return s.bolt.Close() }

// openBolt opens a log file. bbolt panics on some corruptions.
func openBolt(path string, readOnly bool) (bolt *raftboltdb.BoltStore, err error) {
	defer func() {
		if r := recover(); r != nil {
			bolt, err = nil, corrupt(path, fmt.Errorf("%v", r))
		}
	}()
	bolt, err = raftboltdb.New(raftboltdb.Options{
		Path: path,
		BoltOptions: &bbolt.Options{
			Timeout: boltTimeout, ReadOnly: readOnly,
			// The free list is rebuilt at open instead of being written with each
			// commit: a long log would make every write slow (hashicorp/consul#5181).
			NoFreelistSync: true,
		},
	})
	if err != nil {
		return nil, explain(path, err)
	}
	return bolt, nil
}

// probe writes as much as the first entries need, so that a full or read-only
// disk is found at the start.
func probe(dir string) error {
	f, err := os.CreateTemp(dir, ".probe-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(make([]byte, probeSize))
	return errors.Join(err, f.Sync(), f.Close())
}

// verifyLog reads every entry after the snapshot, as raft does at its start,
// where a missing or unreadable one is a panic.
func (s *store) verifyLog(snapshotIndex uint64) (err error) {
	path := filepath.Join(s.dir, logFile)
	defer func() {
		if r := recover(); r != nil {
			err = corrupt(path, fmt.Errorf("%v", r))
		}
	}()
	last, err := s.bolt.LastIndex()
	if err != nil {
		return corrupt(path, err)
	}
	for index := snapshotIndex + 1; index <= last; index++ {
		var entry raft.Log
		if err := s.bolt.GetLog(index, &entry); err != nil {
			return corrupt(path, fmt.Errorf("read entry %d of %d: %w", index, last, err))
		}
	}
	return nil
}

// newestSnapshot returns the newest snapshot's meta, or nil when there is none.
func (s *store) newestSnapshot() (*raft.SnapshotMeta, error) {
	list, err := s.snaps.List()
	if err != nil {
		return nil, explain(filepath.Join(s.dir, snapshotsDir), err)
	}
	if len(list) == 0 {
		return nil, nil
	}
	return list[0], nil
}

// appliedMark is an index up to which entries are known to be committed. Raft
// itself learns what is committed only from a leader.
func (s *store) appliedMark() (uint64, error) {
	mark, err := s.bolt.GetUint64([]byte(appliedMarkKey))
	if err != nil && err.Error() != raftboltdb.ErrKeyNotFound.Error() {
		return 0, corrupt(filepath.Join(s.dir, logFile), err)
	}
	return mark, nil
}

func (s *store) setAppliedMark(index uint64) error {
	return s.bolt.SetUint64([]byte(appliedMarkKey), index)
}

// hasState says whether raft has anything in the store.
func (s *store) hasState() (bool, error) {
	has, err := raft.HasExistingState(s.bolt, s.bolt, s.snaps)
	if err != nil {
		return false, corrupt(s.dir, err)
	}
	return has, nil
}

// HasState says whether dir holds the state of a catalog: a log, a term or a
// snapshot. It changes nothing. It fails while a Node has dir open.
func HasState(dir string) (bool, error) {
	path := filepath.Join(dir, logFile)
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		return hasSnapshots(dir)
	}
	if err := verifyPages(path); err != nil {
		return false, err
	}
	bolt, err := openBolt(path, true)
	if err != nil {
		return false, err
	}
	defer bolt.Close()
	last, err := bolt.LastIndex()
	if err != nil {
		return false, corrupt(path, err)
	}
	if last > 0 {
		return true, nil
	}
	if term, err := bolt.GetUint64([]byte("CurrentTerm")); err == nil && term > 0 {
		return true, nil
	}
	return hasSnapshots(dir)
}

func hasSnapshots(dir string) (bool, error) {
	found, err := filepath.Glob(filepath.Join(dir, snapshotsDir, "*", "meta.json"))
	if err != nil {
		return false, explain(dir, err)
	}
	return len(found) > 0, nil
}
