package state

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"sync"
)

// defaultSize is that of the file of a journal, unless its values need more.
const defaultSize = 1 << 20

// Journal keeps values over restarts, each under a key, in one file. An update appends
// what it changes, with one write and one sync, however many values there are and
// however many of them it changes. When the file is full, it is replaced by one with
// the values alone.
//
// It may be used concurrently, by one process.
type Journal[K comparable, V any] struct {
	Path   string
	What   string    // what the journal holds, for errors: "registrations"
	Remedy string    // what an operator can do about a file that is corrupt
	Key    func(V) K // of a value
	Former string    // file in which earlier builds keep the values as a JSON list: Load takes them over, Close gives them back

	disk disk // nil: that of the host
	size int  // of a new file, if that is enough; zero: defaultSize

	mu     sync.Mutex // guards all following
	values map[K]V
	file   *journalFile // that is written; nil: the next update creates one
	moved  bool         // the former file refers to the journal
}

// changes is the content of a record.
type changes[K comparable, V any] struct {
	Put    []V `json:"put,omitempty"`
	Delete []K `json:"delete,omitempty"`
}

// moved is the content of the former file once the journal has its values. Earlier
// builds refuse it, instead of starting without values, when no Close came before them.
type moved struct {
	MovedTo string
}

// Load reads the values. A file that is corrupt is an error and is left as it is. What
// a crash left of an update that did not return is no error.
func (j *Journal[K, V]) Load() ([]V, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.abandon()
	j.moved, j.values = false, nil
	former, found, err := j.loadFormer()
	switch {
	case err != nil:
		return nil, err
	case found:
		err = j.takeOver(former)
	default:
		j.values, err = j.read()
	}
	if err != nil {
		return nil, err
	}
	return slices.Collect(maps.Values(j.values)), nil
}

// Update puts and removes values, after Load. When it returns nil, all of that is on the disk.
// After an error the next Load has all of it or nothing, and the next Update that
// returns nil leaves nothing of it.
func (j *Journal[K, V]) Update(put []V, remove []K) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if err := j.update(changes[K, V]{put, remove}); err != nil {
		return fmt.Errorf("write %s: %w", j.What, err)
	}
	return nil
}

// Close writes the values to the former file, so that an earlier build can follow, and
// removes the journal.
func (j *Journal[K, V]) Close() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.abandon()
	if !j.moved || j.values == nil { // there is nothing, or it could not be read
		return nil
	}
	list, err := json.MarshalIndent(slices.Collect(maps.Values(j.values)), "", "  ")
	if err != nil {
		return fmt.Errorf("write %s: %w", j.What, err)
	}
	if err := j.writeFormer(list); err != nil {
		return fmt.Errorf("write %s: %w", j.What, err)
	}
	j.moved = false
	return j.host().Remove(j.Path)
}

func (j *Journal[K, V]) update(c changes[K, V]) error {
	record, err := json.Marshal(c)
	if err != nil {
		return err
	}
	if j.file == nil || !j.file.room(len(record)) {
		after := maps.Clone(j.values)
		j.apply(after, c)
		return j.replace(after)
	}
	if err := j.file.append(record); err != nil {
		j.abandon() // what is on the disk is unknown
		return err
	}
	j.apply(j.values, c)
	return nil
}

func (j *Journal[K, V]) apply(values map[K]V, c changes[K, V]) {
	for _, v := range c.Put {
		values[j.Key(v)] = v
	}
	for _, key := range c.Delete {
		delete(values, key)
	}
}

// replace writes a new file with values, and replaces the journal by it. After an error
// it is unknown which of both the disk has.
func (j *Journal[K, V]) replace(values map[K]V) error {
	j.abandon()
	var c changes[K, V]
	for _, v := range values {
		c.Put = append(c.Put, v)
	}
	record, err := json.Marshal(c)
	if err != nil {
		return err
	}
	file, err := createJournal(j.host(), j.Path, record, cmp.Or(j.size, defaultSize))
	if err != nil {
		return err
	}
	if err := j.leaveFormer(values); err != nil {
		return errors.Join(err, file.file.Close())
	}
	j.file, j.values = file, values
	return nil
}

// abandon closes the file. What was written is on the disk, or was not acknowledged.
func (j *Journal[K, V]) abandon() {
	if j.file != nil {
		_ = j.file.file.Close()
	}
	j.file = nil
}

// read returns the values of the journal.
func (j *Journal[K, V]) read() (map[K]V, error) {
	data, err := j.host().ReadFile(j.Path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && !j.moved:
		return map[K]V{}, nil
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("read %s: %s is missing, although %s refers to it: %s", j.What, j.Path, j.Former, j.Remedy)
	case err != nil:
		return nil, fmt.Errorf("read %s: %w", j.What, err)
	}
	values := map[K]V{}
	err = walkJournal(data, func(record []byte) error {
		var c changes[K, V]
		if err := json.Unmarshal(record, &c); err != nil {
			return err
		}
		j.apply(values, c)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read %s: %s is corrupt: %w: %s", j.What, j.Path, err, j.Remedy)
	}
	return values, nil
}

// loadFormer returns the values in the former file, if it has any: an earlier build wrote
// them after those of the journal.
func (j *Journal[K, V]) loadFormer() (list []V, found bool, err error) {
	data, err := j.host().ReadFile(j.Former)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("read %s: %w", j.What, err)
	}
	var m moved
	if json.Unmarshal(data, &m) == nil && m.MovedTo != "" {
		j.moved = true
		return nil, false, nil
	}
	if err := json.Unmarshal(data, &list); err != nil {
		return nil, false, fmt.Errorf("read %s: %s is corrupt: %w: %s", j.What, j.Former, err, j.Remedy)
	}
	return list, true, nil
}

// takeOver writes the values of the former file to the journal.
func (j *Journal[K, V]) takeOver(list []V) error {
	values := map[K]V{}
	j.apply(values, changes[K, V]{Put: list})
	if err := j.replace(values); err != nil {
		return fmt.Errorf("write %s: %w", j.What, err)
	}
	return nil
}

// leaveFormer replaces the former file by one that refers to the journal, unless it is
// one already, when the values have been read back from the journal.
func (j *Journal[K, V]) leaveFormer(values map[K]V) error {
	if j.moved {
		return nil
	}
	written, err := j.read()
	if err != nil {
		return err
	}
	if err := equalJSON(values, written); err != nil {
		return err
	}
	reference, err := json.Marshal(moved{MovedTo: filepath.Base(j.Path)})
	if err != nil {
		return err
	}
	if err := j.writeFormer(reference); err != nil {
		return err
	}
	j.moved = true
	return nil
}

func (j *Journal[K, V]) writeFormer(data []byte) error {
	f, err := replaceFile(j.host(), j.Former, data, len(data))
	if err != nil {
		return err
	}
	return f.Close()
}

// equalJSON returns an error unless both maps have the same values.
func equalJSON[K comparable, V any](want, have map[K]V) error {
	if len(want) != len(have) {
		return fmt.Errorf("%d of %d values were read back", len(have), len(want))
	}
	for key, v := range want {
		a, errA := json.Marshal(v)
		b, errB := json.Marshal(have[key])
		if err := errors.Join(errA, errB); err != nil {
			return err
		}
		if !bytes.Equal(a, b) {
			return fmt.Errorf("%v was read back with another value", key)
		}
	}
	return nil
}

func (j *Journal[K, V]) host() disk {
	if j.disk == nil {
		return hostDisk{}
	}
	return j.disk
}
