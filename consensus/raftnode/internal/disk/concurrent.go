package disk

import (
	"slices"
	"sync"

	"github.com/hashicorp/raft"
)

// maxUnwritten bounds the entries that are in memory only. It is the number of entries
// in one message to a follower.
const maxUnwritten = 64

// concurrentLog is a log that a leader writes while raft sends the same entries to the
// followers (Ongaro, "Consensus: Bridging Theory and Practice", section 10.2.1). Raft
// counts an entry as one that the leader has stored when StoreLogs returns, which is
// before it is on the disk. Three rules make sure that an entry which counts as
// committed is on the disks of a quorum, that of the leader included:
//
//   - the state machine applies an entry after awaitWritten, so that nothing is
//     acknowledged, read or put into a snapshot before;
//   - a follower learns of a commit index that written returns;
//   - a message of another leader waits for flush: raft confirms entries that it has
//     without storing them again.
//
// Only commands are written this way. Raft itself acts on its other entries when they
// are committed.
type concurrentLog struct {
	log raft.LogStore

	mu        sync.Mutex // guards all following fields
	leads     func() bool
	fail      func(error)
	unwritten []*raft.Log // not known to be on the disk; ascending, without a gap
	writing   bool        // write runs
	err       error       // of write, which ends with it
	changed   chan struct{}
}

func newConcurrentLog(log raft.LogStore) *concurrentLog {
	return &concurrentLog{log: log, leads: func() bool { return false }, changed: make(chan struct{})}
}

// begin prepares the log for a raft that starts. leads reports whether it leads at
// present, without an error when it is called by raft's main loop. fail is called if
// entries cannot be written.
func (c *concurrentLog) begin(leads func() bool, fail func(error)) error {
	if err := c.flush(); err != nil { // of the raft before
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.leads, c.fail = leads, fail
	return nil
}

// IsMonotonic implements raft.MonotonicLogStore: raft deletes the log when it has installed a
// snapshot. That of bolt accepts a gap, but raft would keep entries that were never committed.
func (c *concurrentLog) IsMonotonic() bool { return true }

// FirstIndex implements raft.LogStore.
func (c *concurrentLog) FirstIndex() (uint64, error) {
	if err := c.flush(); err != nil { // it is read at a start and for a snapshot
		return 0, err
	}
	return c.log.FirstIndex()
}

// LastIndex implements raft.LogStore.
func (c *concurrentLog) LastIndex() (uint64, error) {
	c.mu.Lock()
	n := len(c.unwritten)
	if n > 0 {
		defer c.mu.Unlock()
		return c.unwritten[n-1].Index, nil
	}
	c.mu.Unlock()
	return c.log.LastIndex()
}

// GetLog implements raft.LogStore.
func (c *concurrentLog) GetLog(index uint64, entry *raft.Log) error {
	c.mu.Lock()
	if n := len(c.unwritten); n > 0 && index >= c.unwritten[0].Index && index <= c.unwritten[n-1].Index {
		defer c.mu.Unlock()
		*entry = *c.unwritten[index-c.unwritten[0].Index]
		return nil
	}
	c.mu.Unlock()
	return c.log.GetLog(index, entry)
}

// StoreLog implements raft.LogStore.
func (c *concurrentLog) StoreLog(entry *raft.Log) error { return c.StoreLogs([]*raft.Log{entry}) }

// StoreLogs implements raft.LogStore. The commands of a leader are written after it
// returns.
func (c *concurrentLog) StoreLogs(entries []*raft.Log) error {
	other := slices.ContainsFunc(entries, func(e *raft.Log) bool { return e.Type != raft.LogCommand })
	if !other && c.leading() {
		return c.store(entries)
	}
	if err := c.flush(); err != nil {
		return err
	}
	return c.log.StoreLogs(entries)
}

func (c *concurrentLog) leading() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.leads()
}

// store makes write write entries, when there is room for them.
func (c *concurrentLog) store(entries []*raft.Log) error {
	return c.await(func() bool {
		if len(c.unwritten) >= maxUnwritten {
			return false
		}
		c.unwritten = append(c.unwritten, entries...)
		if !c.writing {
			c.writing = true
			go c.write()
		}
		return true
	})
}

// write writes entries until there are none.
func (c *concurrentLog) write() {
	for {
		c.mu.Lock()
		batch, fail := c.unwritten, c.fail
		c.writing = len(batch) > 0
		c.mu.Unlock()
		if len(batch) == 0 {
			return
		}
		err := protect(func() error { return c.log.StoreLogs(batch) })
		c.mu.Lock()
		if err == nil {
			c.unwritten = slices.Clone(c.unwritten[len(batch):])
		}
		c.err = err
		close(c.changed)
		c.changed = make(chan struct{})
		c.mu.Unlock()
		if err != nil {
			fail(err)
			return
		}
	}
}

// DeleteRange implements raft.LogStore.
func (c *concurrentLog) DeleteRange(from, to uint64) error {
	if err := c.flush(); err != nil {
		return err
	}
	return c.log.DeleteRange(from, to)
}

// written returns the index, at most commit, up to which all entries are on the disk.
func (c *concurrentLog) written(commit uint64) uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.unwritten) == 0 {
		return commit
	}
	return min(commit, c.unwritten[0].Index-1)
}

// awaitWritten waits until all entries up to index are on the disk.
func (c *concurrentLog) awaitWritten(index uint64) error {
	return c.await(func() bool { return len(c.unwritten) == 0 || c.unwritten[0].Index > index })
}

// flush waits until all entries that were stored before the call are on the disk.
func (c *concurrentLog) flush() error {
	last, err := c.LastIndex()
	if err != nil {
		return err
	}
	return c.awaitWritten(last)
}

// failure returns the error of the last write.
func (c *concurrentLog) failure() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// await waits until ready, which is called with c.mu held, reports true. It fails after
// an error of write.
func (c *concurrentLog) await(ready func() bool) error {
	for {
		c.mu.Lock()
		err, done, changed := c.err, false, c.changed
		if err == nil {
			done = ready()
		}
		c.mu.Unlock()
		if err != nil || done {
			return err
		}
		<-changed
	}
}

// writtenMachine applies entries that are on the disk.
type writtenMachine struct {
	raft.FSM
	log *concurrentLog
}

// Apply implements raft.FSM.
func (m writtenMachine) Apply(entry *raft.Log) any {
	if err := m.log.awaitWritten(entry.Index); err != nil {
		return err
	}
	return m.FSM.Apply(entry)
}

// Snapshot implements raft.FSM. It fails after an entry that was not applied: raft would
// record the snapshot as one that has it.
func (m writtenMachine) Snapshot() (raft.FSMSnapshot, error) {
	if err := m.log.failure(); err != nil {
		return nil, err
	}
	return m.FSM.Snapshot()
}
