package disk

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
	"go.etcd.io/bbolt"
)

const (
	logFile          = "raft.db"
	snapshotsDir     = "snapshots" // created by raft's FileSnapshotStore
	retainSnapshots  = 2
	logCacheSize     = 512
	boltTimeout      = time.Second // how long to wait for another process to close the file
	probeSize        = 64 << 10    // bytes that must fit on the disk for a start
	appliedMarkKey   = "meshway-applied"
	corruptionRemedy = "if this gateway can rejoin, move the directory away and start again: " +
		"the other members send a new copy; if it is the last gateway, restore a snapshot"
)

// Store is an open data directory.
type Store struct {
	dir   string
	bolt  *raftboltdb.BoltStore
	snaps *raft.FileSnapshotStore
}

// Open opens dir, and creates it if missing. Errors contain the path and the
// remedy.
func Open(dir string, log hclog.Logger) (*Store, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, explain(dir, err)
	}
	if err := probe(dir); err != nil {
		return nil, explain(dir, err)
	}
	path := filepath.Join(dir, logFile)
	if err := verifyFile(path); err != nil {
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
	return &Store{dir: dir, bolt: bolt, snaps: snaps}, nil
}

// Close closes the log.
func (s *Store) Close() error { return s.bolt.Close() }

// openBolt opens a log file. It returns a panic of bbolt, which some corruptions
// cause, as an error.
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
			// The free list is rebuilt when the file is opened instead of being written
			// with each commit, which slows every write to a long log
			// (hashicorp/consul#5181).
			NoFreelistSync: true,
		},
	})
	if err != nil {
		return nil, explain(path, err)
	}
	return bolt, nil
}

// probe writes as much as the first entries need, so that a start on a full or
// read-only disk fails.
func probe(dir string) error {
	f, err := os.CreateTemp(dir, ".probe-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(make([]byte, probeSize))
	return errors.Join(err, f.Sync(), f.Close())
}

// verifyLog reads every entry after the snapshot. Raft does the same when it
// starts, and panics if an entry is missing or unreadable.
func (s *Store) verifyLog(snapshotIndex uint64) (err error) {
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

// newestSnapshot returns the metadata of the newest snapshot, or nil if there is
// none.
func (s *Store) newestSnapshot() (*raft.SnapshotMeta, error) {
	list, err := s.snaps.List()
	if err != nil {
		return nil, explain(filepath.Join(s.dir, snapshotsDir), err)
	}
	if len(list) == 0 {
		return nil, nil
	}
	return list[0], nil
}

// appliedMark returns an index up to which entries are known to be committed.
// Raft does not store one: it learns the commit index from a leader.
func (s *Store) appliedMark() (uint64, error) {
	mark, err := s.bolt.GetUint64([]byte(appliedMarkKey))
	if err != nil && err.Error() != raftboltdb.ErrKeyNotFound.Error() {
		return 0, corrupt(filepath.Join(s.dir, logFile), err)
	}
	return mark, nil
}

// SetAppliedMark writes the applied mark.
func (s *Store) SetAppliedMark(index uint64) error {
	return s.bolt.SetUint64([]byte(appliedMarkKey), index)
}

// Bootstrap writes the first configuration of raft. The store must be empty.
func (s *Store) Bootstrap(cfg *raft.Config, trans raft.Transport, servers raft.Configuration) error {
	if err := raft.BootstrapCluster(cfg, s.bolt, s.bolt, s.snaps, trans, servers); err != nil {
		return explain(s.dir, err)
	}
	return nil
}

// Recover replaces the configuration of raft; machine is left with the content
// of the store.
func (s *Store) Recover(cfg *raft.Config, machine raft.FSM, trans raft.Transport, servers raft.Configuration) error {
	return raft.RecoverCluster(cfg, machine, s.bolt, s.bolt, s.snaps, trans, servers)
}

// StartRaft starts raft on the store. It calls fail when the disk fails later.
func (s *Store) StartRaft(cfg *raft.Config, machine raft.FSM, trans raft.Transport, fail func(error)) (*raft.Raft, error) {
	cache, err := raft.NewLogCache(logCacheSize, s.bolt)
	if err != nil {
		return nil, err
	}
	failed := make(chan error, 1)
	disk := newGuard(s, cache, func(err error) {
		select {
		case failed <- err:
		default:
		}
		fail(err)
	})
	var started *raft.Raft
	var wg sync.WaitGroup
	wg.Go(func() { // a goroutine of its own, which the guard ends if the disk fails
		defer func() {
			if r := recover(); r != nil {
				err = corrupt(s.dir, fmt.Errorf("%v", r))
			}
		}()
		started, err = raft.NewRaft(cfg, machine, disk, disk, s.snaps, trans)
	})
	wg.Wait()
	if started == nil && err == nil {
		err = <-failed
	}
	return started, err
}

// HasState reports whether raft has anything in the store.
func (s *Store) HasState() (bool, error) {
	has, err := raft.HasExistingState(s.bolt, s.bolt, s.snaps)
	if err != nil {
		return false, corrupt(s.dir, err)
	}
	return has, nil
}

// HasState reports whether dir holds the state of a catalog: a log, a term or a
// snapshot. It changes nothing. It fails while a Node has dir open.
func HasState(dir string) (bool, error) {
	path := filepath.Join(dir, logFile)
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		return hasSnapshots(dir)
	}
	if err := verifyFile(path); err != nil {
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
