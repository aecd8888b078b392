package disk

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
	"go.etcd.io/bbolt"

	"github.com/meshway/meshway/consensus/raftnode/logstore"
)

const (
	boltFile         = "raft.db"
	snapshotsDir     = "snapshots" // created by raft's FileSnapshotStore
	retainSnapshots  = 2
	logCacheSize     = 512
	boltTimeout      = time.Second // how long to wait for another process to close the file
	probeSize        = 64 << 10    // bytes that must fit on the disk for a start
	appliedMarkKey   = "meshway-applied"
	corruptionRemedy = "run meshctl raft list-peers on another gateway: if it shows a leader, the other members have the catalog; then, " +
		"in Kubernetes, move the data directory of meshd away, and the gateway gets a new copy; on another host, run meshctl datacenter " +
		"remove there if this was the only gateway of its datacenter, then meshd uninstall --force here, and join again; " +
		"if it shows no leader, or this is the last gateway, keep the directory, and restore a backup of it or a snapshot"
)

// Store is an open data directory.
type Store struct {
	dir       string
	bolt      *raftboltdb.BoltStore // the term and the vote, and the log of kind Bolt
	wal       *logstore.Store       // nil with kind Bolt
	converted bool                  // the log was copied when it was opened
	log       *concurrentLog        // that of raft, on bolt or wal
	snaps     snapshotStore
	disk      Disk                  // nil: that of the host
	beforeCut func(from, to uint64) // nil: nothing
	replayed  uint64                // see Replayed
}

// Open opens dir, and creates it if missing. kind is that of its log, which is
// converted if it is another; empty: it stays as it is, and WAL in a new directory.
// A nil disk is that of the host. Errors contain the path and the remedy.
func Open(dir string, kind Kind, disk Disk, log hclog.Logger) (*Store, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, explain(dir, err)
	}
	if err := probe(dir, disk); err != nil {
		return nil, explain(dir, err)
	}
	path := filepath.Join(dir, boltFile)
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
	s := &Store{dir: dir, bolt: bolt, snaps: snapshotStore{snaps, filepath.Join(dir, snapshotsDir), disk}, disk: disk}
	if err := s.openLog(kind); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	written, _ := s.watched()
	s.log = newConcurrentLog(written)
	return s, nil
}

// Close closes the directory.
func (s *Store) Close() error {
	if s.log != nil {
		s.log.flush()
	}
	err := s.bolt.Close()
	if s.wal != nil {
		err = errors.Join(s.wal.Close(), err)
	}
	return err
}

// openBolt opens raft.db. It returns a panic of bbolt, which some corruptions
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
func probe(dir string, disk Disk) error {
	if disk != nil {
		if _, err := disk.Write(probeSize); err != nil {
			return err
		}
	}
	f, err := os.CreateTemp(dir, ".probe-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(make([]byte, probeSize))
	return errors.Join(err, f.Sync(), f.Close())
}

// newestSnapshot returns the metadata of the newest snapshot, or nil if there is
// none. It fails if that one is damaged.
func (s *Store) newestSnapshot() (*raft.SnapshotMeta, error) {
	if err := s.snaps.verifyNewest(); err != nil {
		return nil, err
	}
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
		return 0, corrupt(filepath.Join(s.dir, boltFile), err)
	}
	return mark, nil
}

// SetAppliedMark writes the applied mark.
func (s *Store) SetAppliedMark(index uint64) error {
	return s.writeBolt(func() error { return s.bolt.SetUint64([]byte(appliedMarkKey), index) })
}

// Bootstrap writes the first configuration of raft. The store must be empty.
func (s *Store) Bootstrap(cfg *raft.Config, trans raft.Transport, servers raft.Configuration) error {
	if err := raft.BootstrapCluster(cfg, s.logs(), s.bolt, s.snaps, trans, servers); err != nil {
		return explain(s.dir, err)
	}
	return nil
}

// Recover replaces the configuration of raft; machine is left with the content
// of the store.
func (s *Store) Recover(cfg *raft.Config, machine raft.FSM, trans raft.Transport, servers raft.Configuration) error {
	log, _ := s.watched()
	return raft.RecoverCluster(cfg, machine, log, s.bolt, s.snaps, trans, servers)
}

// StartRaft starts raft on the store. It calls fail when the disk fails later.
func (s *Store) StartRaft(cfg *raft.Config, machine raft.FSM, trans raft.Transport, fail func(error)) (*raft.Raft, error) {
	failed := make(chan error, 1)
	stop := func(err error) {
		select {
		case failed <- err:
		default:
		}
		fail(err)
	}
	var started atomic.Pointer[raft.Raft]
	leads := func() bool {
		r := started.Load()
		return r != nil && r.State() == raft.Leader
	}
	if err := s.log.begin(leads, func(err error) { stop(storeError("write", s.logPath(), err)) }); err != nil {
		return nil, err
	}
	_, stable := s.watched()
	applied := func() uint64 {
		r := started.Load()
		if r == nil {
			return s.replayed
		}
		return max(s.replayed, r.AppliedIndex())
	}
	disk := &raftStore{LogStore: s.log, StableStore: stable, path: s.logPath(), applied: applied, fail: stop}
	// The cache is in front of disk, because it returns the errors of a log as text.
	cache, err := raft.NewLogCache(logCacheSize, disk)
	if err != nil {
		return nil, err
	}
	var wg sync.WaitGroup
	wg.Go(func() { // a goroutine of its own, which raftStore ends if the disk fails
		defer func() {
			if r := recover(); r != nil {
				err = corrupt(s.dir, fmt.Errorf("%v", r))
			}
		}()
		var r *raft.Raft
		r, err = raft.NewRaft(cfg, writtenMachine{machine, s.log}, cache, disk, s.snaps, trans)
		started.Store(r)
	})
	wg.Wait()
	if started.Load() == nil && err == nil {
		err = <-failed
	}
	return started.Load(), err
}

// FirstIndex returns the index of the first entry of the log; 0: there is none.
func (s *Store) FirstIndex() uint64 {
	first, err := s.logs().FirstIndex()
	if err != nil {
		return 0 // raft finds it, too
	}
	return first
}

// Replayed returns the index of the last entry that Replay has applied. Raft applies the
// entries after its snapshot again.
func (s *Store) Replayed() uint64 { return s.replayed }

// Term returns the term of an entry of the log; false: the log does not have it.
func (s *Store) Term(index uint64) (uint64, bool) {
	var entry raft.Log
	if err := s.log.GetLog(index, &entry); err != nil {
		return 0, false // raft finds it, too
	}
	return entry.Term, true
}

// Written returns the highest index, at most commit, up to which all entries are on the
// disk. A follower must not learn of a higher commit index from this member: see
// concurrentLog.
func (s *Store) Written(commit uint64) uint64 { return s.log.written(commit) }

// Flush waits until all entries are on the disk.
func (s *Store) Flush() error { return s.log.flush() }

// HasState reports whether raft has anything in the store.
func (s *Store) HasState() (bool, error) {
	has, err := raft.HasExistingState(s.logs(), s.bolt, s.snaps)
	if err != nil {
		return false, corrupt(s.dir, err)
	}
	return has, nil
}
