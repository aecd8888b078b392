package logstore

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/raft"
)

// Store is an open log. It implements raft.LogStore, and may be used concurrently.
type Store struct {
	dir  files
	lock *os.File // nil in tests
	size int      // of the largest segments

	// writing is held over a batch and its sync; readers do not wait for it.
	writing  sync.Mutex
	failed   error      // the first failed write: what is on the disk is unknown from then on
	segments []*segment // oldest first
	buf      []byte

	mu    sync.RWMutex
	index index

	syncs, written atomic.Uint64
}

var (
	_ raft.LogStore          = (*Store)(nil)
	_ raft.MonotonicLogStore = (*Store)(nil)
)

// Create creates a log in an empty or missing directory, and opens it. A nil disk is
// that of the host.
func Create(dir string, disk Disk) (*Store, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	return openLocked(dir, disk, func(d files) (*Store, error) { return create(d, segmentSize) })
}

// Open opens the log in a directory. A nil disk is that of the host.
func Open(dir string, disk Disk) (*Store, error) {
	return openLocked(dir, disk, func(d files) (*Store, error) { return open(d, segmentSize) })
}

func openLocked(dir string, disk Disk, open func(files) (*Store, error)) (*Store, error) {
	l, err := lock(dir)
	if err != nil {
		return nil, err
	}
	s, err := open(on(dir, disk))
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	s.lock = l
	return s, nil
}

func create(dir files, size int) (*Store, error) {
	numbers, _, err := list(dir)
	if err != nil {
		return nil, err
	}
	if len(numbers) > 0 {
		return nil, fmt.Errorf("create a log: there is one: %w", os.ErrExist)
	}
	first, err := createSegment(dir, 1, 0, min(firstSegment, size), 0)
	if err != nil {
		return nil, err
	}
	return &Store{dir: dir, size: size, segments: []*segment{first}}, nil
}

func open(dir files, size int) (*Store, error) {
	c, err := replay(dir)
	if err != nil {
		return nil, err
	}
	s := &Store{dir: dir, size: size, segments: c.segments, index: c.index}
	if err := s.settle(c); err != nil {
		return nil, errors.Join(err, closeAll(c.segments))
	}
	return s, nil
}

// settle brings what was read to the disk before it is used, and removes what a crash
// left. The unproved records are written again, because the kernel may
// have them in memory as written although writing failed.
func (s *Store) settle(c contents) error {
	for _, name := range c.leftovers {
		if err := s.dir.Remove(name); err != nil {
			return err
		}
	}
	t := s.newest()
	if c.tail.marked && c.tail.garbage == 0 && len(c.tail.unproved) == 0 {
		return nil
	}
	data := c.tail.unproved
	at := t.end - len(data)
	if c.tail.garbage > 0 {
		data = append(append([]byte(nil), data...), make([]byte, c.tail.garbage-t.end)...)
	}
	if len(data) > 0 {
		if err := s.writeAt(t, data, at); err != nil {
			return err
		}
	}
	if err := s.sync(t); err != nil {
		return err
	}
	return s.mark(t)
}

func (s *Store) newest() *segment { return s.segments[len(s.segments)-1] }

// Close closes the log. It must not be used after that.
func (s *Store) Close() error {
	s.writing.Lock()
	defer s.writing.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	err := closeAll(s.segments)
	s.segments, s.index, s.failed = nil, index{}, os.ErrClosed
	if s.lock != nil {
		err = errors.Join(err, s.lock.Close())
	}
	return err
}

// Stats is what a log has written since it was opened.
type Stats struct{ Syncs, Bytes uint64 }

// Stats returns what s has written.
func (s *Store) Stats() Stats { return Stats{Syncs: s.syncs.Load(), Bytes: s.written.Load()} }

// IsMonotonic implements raft.MonotonicLogStore: StoreLogs accepts no gap.
func (s *Store) IsMonotonic() bool { return true }

// FirstIndex implements raft.LogStore.
func (s *Store) FirstIndex() (uint64, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.index.first, nil
}

// LastIndex implements raft.LogStore.
func (s *Store) LastIndex() (uint64, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.index.last(), nil
}

// GetLog implements raft.LogStore.
func (s *Store) GetLog(index uint64, log *raft.Log) error {
	s.mu.RLock() // over the read too: a segment that is removed is closed
	defer s.mu.RUnlock()
	at, ok := s.index.find(index)
	if !ok {
		return raft.ErrLogNotFound
	}
	data := make([]byte, at.size)
	if _, err := at.segment.file.ReadAt(data, int64(at.offset)); err != nil {
		return fmt.Errorf("read %s: %w", at.segment.name(), err)
	}
	r, ok := decodeRecord(data, at.segment.salt, at.offset)
	if !ok || r.kind != kindEntry || r.log.Index != index {
		return &DamageError{File: at.segment.name(), Offset: at.offset, Reason: fmt.Sprintf("entry %d is not valid", index)}
	}
	*log = r.log
	return nil
}

// StoreLog implements raft.LogStore.
func (s *Store) StoreLog(log *raft.Log) error { return s.StoreLogs([]*raft.Log{log}) }

// StoreLogs implements raft.LogStore. The entries follow each other and the last one.
func (s *Store) StoreLogs(logs []*raft.Log) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	next, _ := s.LastIndex()
	size := 0
	for _, log := range logs {
		if log.Index == 0 || next != 0 && log.Index != next+1 {
			return fmt.Errorf("store log entry %d: the last one is %d", log.Index, next)
		}
		next = log.Index
		size += sizeOf(log)
	}
	if size == 0 {
		return nil
	}
	t, err := s.reserve(size)
	if err != nil {
		return err
	}
	s.buf = s.buf[:0]
	places := make([]position, 0, len(logs))
	for _, log := range logs {
		offset := t.end + len(s.buf)
		s.buf = appendRecord(s.buf, t.salt, offset, record{kind: kindEntry, synced: t.end, log: *log})
		places = append(places, position{segment: t, offset: offset, size: sizeOf(log)})
	}
	if err := s.commit(t); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, log := range logs {
		s.index.add(log.Index, places[i])
	}
	return nil
}

// DeleteRange implements raft.LogStore. It deletes a beginning or an end of the log.
// Of a beginning, whole segments are deleted: entries that are deleted and were not
// alone in their segment are there again when the log is opened.
func (s *Store) DeleteRange(from, to uint64) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	s.mu.RLock()
	first, last := s.index.first, s.index.last()
	s.mu.RUnlock()
	switch {
	case first == 0 || to < first || from > last || from > to:
		return nil
	case from <= first && to >= last:
		return s.truncate(0)
	case to >= last:
		return s.truncate(from - 1)
	case from <= first:
		s.mu.Lock()
		s.index.drop(to + 1)
		s.mu.Unlock()
		return s.removeUnused()
	}
	return fmt.Errorf("delete log entries %d to %d of %d to %d: they are neither its beginning nor its end", from, to, first, last)
}

// truncate deletes all entries after last.
func (s *Store) truncate(last uint64) error {
	t, err := s.reserve(recordHeader)
	if err != nil {
		return err
	}
	s.buf = appendRecord(s.buf[:0], t.salt, t.end, record{kind: kindTruncate, synced: t.end, log: raft.Log{Index: last}})
	if err := s.commit(t); err != nil {
		return err
	}
	s.mu.Lock()
	s.index.cut(last)
	s.mu.Unlock()
	return s.removeUnused()
}

// reserve returns the segment that the next batch of size bytes is written to.
func (s *Store) reserve(size int) (*segment, error) {
	if s.failed != nil {
		return nil, fmt.Errorf("the log accepts no write after an earlier error: %w", s.failed)
	}
	if size > maxSegment/2 {
		return nil, fmt.Errorf("store log entries of %d bytes: they exceed %d", size, maxSegment/2)
	}
	t := s.newest()
	if t.room(size) {
		return t, nil
	}
	next, err := createSegment(s.dir, t.number+1, t.end, min(2*t.capacity, s.size), size)
	if err != nil {
		return nil, s.fail(err)
	}
	s.syncs.Add(1)
	s.written.Add(uint64(next.capacity)) //nolint:gosec // positive
	s.segments = append(s.segments, next)
	return next, nil
}

// commit writes the records in buf to the end of t.
func (s *Store) commit(t *segment) error {
	if err := s.writeAt(t, s.buf, t.end); err != nil {
		return s.fail(err)
	}
	if err := s.sync(t); err != nil {
		return s.fail(err)
	}
	t.end += len(s.buf)
	if err := s.mark(t); err != nil {
		return s.fail(err)
	}
	return nil
}

// mark writes that all of t is on the disk. The mark itself is not synced: it survives
// the end of the process, and the kernel writes it soon.
func (s *Store) mark(t *segment) error {
	return s.writeAt(t, appendRecord(nil, t.salt, t.end, record{kind: kindMark, synced: t.end}), t.end)
}

func (s *Store) writeAt(t *segment, data []byte, offset int) error {
	s.written.Add(uint64(len(data)))
	if _, err := t.file.WriteAt(data, int64(offset)); err != nil {
		return fmt.Errorf("write %s: %w", t.name(), err)
	}
	return nil
}

func (s *Store) sync(t *segment) error {
	s.syncs.Add(1)
	if err := t.file.Sync(); err != nil {
		return fmt.Errorf("write %s: %w", t.name(), err)
	}
	return nil
}

// fail makes err the result of all later writes: after a failed sync, a later one can
// succeed although pages are lost.
func (s *Store) fail(err error) error {
	s.failed = err
	return err
}

// removeUnused removes the segments before that of the first entry, oldest first, so
// that the remaining ones have no gap.
func (s *Store) removeUnused() error {
	s.mu.Lock() // no reader has a file that is closed
	defer s.mu.Unlock()
	oldest := s.newest()
	if len(s.index.at) > 0 {
		oldest = s.index.at[0].segment
	}
	for s.segments[0] != oldest {
		t := s.segments[0]
		if err := errors.Join(t.file.Close(), s.dir.Remove(t.name())); err != nil {
			return s.fail(err)
		}
		s.segments = s.segments[1:]
	}
	return nil
}
