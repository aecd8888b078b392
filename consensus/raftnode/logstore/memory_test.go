package logstore

import (
	"bytes"
	"errors"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

var errCrashed = errors.New("crashed")

// memory is a directory in memory that can lose what was not synced.
type memory struct {
	contents map[string]*memoryFile
	left     int   // operations until the crash; negative: none
	failSync error // the result of the next Sync
	failNew  error // the result of the next Create
	rng      *rand.Rand
}

// memoryFile is what programs see, what is on the disk, and what is in between.
type memoryFile struct {
	seen, disk []byte
	dirty      []extent
}

type extent struct{ from, to int }

// onDisk returns a file with that content.
func onDisk(content []byte) *memoryFile {
	return &memoryFile{seen: slices.Clone(content), disk: slices.Clone(content)}
}

func newMemory(rng *rand.Rand) *memory {
	return &memory{contents: map[string]*memoryFile{}, left: -1, rng: rng}
}

// step counts one operation; half: it is the one that the crash interrupts.
func (m *memory) step() (half bool, err error) {
	switch m.left {
	case -1:
		return false, nil
	case 0:
		return false, errCrashed
	}
	m.left--
	return m.left == 0, nil
}

func (m *memory) List() ([]string, error) {
	var names []string
	for name := range m.contents {
		names = append(names, name)
	}
	slices.Sort(names)
	return names, nil
}

func (m *memory) Open(name string) (file, error) {
	f, ok := m.contents[name]
	if !ok {
		return nil, os.ErrNotExist
	}
	return handle{m, f}, nil
}

func (m *memory) Create(name string) (file, error) {
	if err := m.failNew; err != nil {
		m.failNew = nil
		return nil, err
	}
	if _, ok := m.contents[name]; ok {
		return nil, os.ErrExist
	}
	half, err := m.step()
	if err != nil {
		return nil, err
	}
	m.contents[name] = &memoryFile{}
	if half {
		return nil, errCrashed
	}
	return handle{m, m.contents[name]}, nil
}

func (m *memory) Rename(from, to string) error {
	return m.change(func() { m.contents[to] = m.contents[from]; delete(m.contents, from) })
}

func (m *memory) Remove(name string) error {
	return m.change(func() { delete(m.contents, name) })
}

func (m *memory) change(do func()) error {
	half, err := m.step()
	if err != nil {
		return err
	}
	if !half || m.rng.IntN(2) == 0 {
		do()
	}
	if half {
		return errCrashed
	}
	return nil
}

// restart returns the directory as the next process sees it. With the power lost, any
// part of what was not synced is lost, also parts of sectors.
func (m *memory) restart(powerLost bool) *memory {
	next := newMemory(m.rng)
	for _, name := range slices.Sorted(maps.Keys(m.contents)) { // in one order: a seed reproduces
		f := m.contents[name]
		if powerLost {
			next.contents[name] = f.lose(m.rng)
			continue
		}
		next.contents[name] = &memoryFile{seen: slices.Clone(f.seen), disk: slices.Clone(f.disk), dirty: slices.Clone(f.dirty)}
	}
	return next
}

func (f *memoryFile) lose(rng *rand.Rand) *memoryFile {
	disk := make([]byte, max(len(f.seen), len(f.disk)))
	copy(disk, f.disk)
	everything := rng.IntN(4) == 0
	for _, e := range f.dirty {
		for from := e.from; from < e.to; {
			to := min(e.to, (from/512+1)*512)
			switch rng.IntN(8) {
			case 0: // lost
			case 1: // a part of the sector
				copy(disk[from:to], f.seen[from:from+rng.IntN(to-from+1)])
			case 2: // garbage, behind what was synced
				if isZero(f.disk, from, len(f.disk)) {
					for i := from; i < to; i++ {
						disk[i] = byte(rng.Uint32())
					}
					break
				}
				fallthrough
			default:
				if everything || rng.IntN(2) == 0 {
					copy(disk[from:to], f.seen[from:to])
				}
			}
			from = to
		}
	}
	return onDisk(disk)
}

func isZero(data []byte, from, to int) bool {
	for i := from; i < min(to, len(data)); i++ {
		if data[i] != 0 {
			return false
		}
	}
	return true
}

type handle struct {
	dir *memory
	*memoryFile
}

func (h handle) Close() error { return nil }

func (h handle) Size() (int64, error) { return int64(len(h.seen)), nil }

func (h handle) ReadAt(p []byte, at int64) (int, error) {
	if at > int64(len(h.seen)) {
		return 0, io.EOF
	}
	n := copy(p, h.seen[at:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (h handle) WriteAt(p []byte, at int64) (int, error) {
	half, err := h.dir.step()
	if err != nil {
		return 0, err
	}
	if half {
		p = p[:h.dir.rng.IntN(len(p)+1)]
	}
	to := int(at) + len(p)
	if to > len(h.seen) {
		h.seen = append(h.seen, make([]byte, to-len(h.seen))...)
	}
	copy(h.seen[at:], p)
	h.dirty = append(h.dirty, extent{int(at), to})
	if half {
		return len(p), errCrashed
	}
	return len(p), nil
}

func (h handle) Sync() error {
	if err := h.dir.failSync; err != nil {
		// Like Linux: the pages count as clean, although they were not written.
		h.dir.failSync, h.dirty = nil, nil
		return err
	}
	half, err := h.dir.step()
	if err != nil {
		return err
	}
	if half && h.dir.rng.IntN(2) == 0 {
		return errCrashed
	}
	if missing := len(h.seen) - len(h.disk); missing > 0 {
		h.disk = append(h.disk, make([]byte, missing)...)
	}
	for _, e := range h.dirty {
		copy(h.disk[e.from:e.to], h.seen[e.from:e.to])
	}
	h.dirty = nil
	if half {
		return errCrashed
	}
	return nil
}

func TestTheMemoryLosesWhatWasNotSynced(t *testing.T) {
	m := newMemory(rand.New(rand.NewPCG(1, 1)))
	f, err := m.Create("x")
	require.NoError(t, err)
	_, err = f.WriteAt(make([]byte, 4096), 0)
	require.NoError(t, err)
	require.NoError(t, f.Sync())
	payload := make([]byte, 2048)
	for i := range payload {
		payload[i] = 1
	}
	_, err = f.WriteAt(payload, 0)
	require.NoError(t, err)
	keeps := func(powerLost bool) bool {
		for range 20 {
			if !bytes.Equal(payload, m.restart(powerLost).contents["x"].seen[:len(payload)]) {
				return false
			}
		}
		return true
	}
	require.True(t, keeps(false))
	require.False(t, keeps(true))
	require.NoError(t, f.Sync())
	require.True(t, keeps(true))
}
