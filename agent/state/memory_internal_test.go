package state

import (
	"errors"
	"io/fs"
	"maps"
	"math/rand/v2"
	"slices"
)

var errCrashed = errors.New("crashed")

// memoryDisk is a disk in memory that can lose what was not synced.
type memoryDisk struct {
	files   map[string]*memoryFile
	left    int                // operations until the crash; negative: none
	fail    func(string) error // the result of an operation, by its name; may be nil
	rng     *rand.Rand
	counted map[string]int // operations, by name
}

// memoryFile is what programs see, what is on the disk, and what is in between.
type memoryFile struct {
	seen, disk []byte
	dirty      [][2]int
}

func newMemoryDisk(seed uint64) *memoryDisk {
	return &memoryDisk{files: map[string]*memoryFile{}, left: -1, rng: rand.New(rand.NewPCG(seed, 1)), counted: map[string]int{}}
}

// put sets the content of a file, on the disk.
func (m *memoryDisk) put(path string, content []byte) {
	m.files[path] = &memoryFile{seen: slices.Clone(content), disk: slices.Clone(content)}
}

// step counts one operation; half: it is the one that the crash interrupts.
func (m *memoryDisk) step(name string) (half bool, err error) {
	m.counted[name]++
	if m.fail != nil {
		if err := m.fail(name); err != nil {
			return false, err
		}
	}
	switch m.left {
	case -1:
		return false, nil
	case 0:
		return false, errCrashed
	}
	m.left--
	return m.left == 0, nil
}

func (m *memoryDisk) ReadFile(path string) ([]byte, error) {
	f, ok := m.files[path]
	if !ok {
		return nil, fs.ErrNotExist
	}
	return slices.Clone(f.seen), nil
}

func (m *memoryDisk) Create(path string) (diskFile, error) {
	half, err := m.step("create")
	if err != nil {
		return nil, err
	}
	m.files[path] = &memoryFile{}
	if half {
		return nil, errCrashed
	}
	return handle{m, m.files[path]}, nil
}

func (m *memoryDisk) Rename(from, to string) error {
	half, err := m.step("rename")
	if err != nil {
		return err
	}
	if !half || m.rng.IntN(2) == 0 {
		m.files[to] = m.files[from]
		delete(m.files, from)
	}
	if half {
		return errCrashed
	}
	return nil
}

func (m *memoryDisk) Remove(path string) error {
	half, err := m.step("remove")
	if err != nil {
		return err
	}
	if !half || m.rng.IntN(2) == 0 {
		delete(m.files, path)
	}
	if half {
		return errCrashed
	}
	return nil
}

// restart returns the disk as the next process sees it. With the power lost, any part of
// what was not synced is lost, also parts of sectors.
func (m *memoryDisk) restart(powerLost bool) *memoryDisk {
	next := newMemoryDisk(m.rng.Uint64())
	for _, path := range slices.Sorted(maps.Keys(m.files)) { // in one order: a seed reproduces
		f := m.files[path]
		if powerLost {
			next.put(path, f.lose(m.rng))
			continue
		}
		next.files[path] = &memoryFile{seen: slices.Clone(f.seen), disk: slices.Clone(f.disk), dirty: slices.Clone(f.dirty)}
	}
	return next
}

func (f *memoryFile) lose(rng *rand.Rand) []byte {
	disk := make([]byte, len(f.seen))
	copy(disk, f.disk)
	for _, e := range f.dirty {
		for from := e[0]; from < e[1]; {
			to := min(e[1], (from/512+1)*512)
			switch rng.IntN(4) {
			case 0: // lost
			case 1: // a part of the sector
				to := from + rng.IntN(to-from+1)
				copy(disk[from:to], f.seen[from:to])
			default:
				copy(disk[from:to], f.seen[from:to])
			}
			from = to
		}
	}
	return disk
}

type handle struct {
	disk *memoryDisk
	*memoryFile
}

func (h handle) Close() error { return nil }

func (h handle) WriteAt(p []byte, at int64) (int, error) {
	half, err := h.disk.step("write")
	if err != nil {
		return 0, err
	}
	if half {
		p = p[:h.disk.rng.IntN(len(p)+1)]
	}
	to := int(at) + len(p)
	if to > len(h.seen) {
		h.seen = append(h.seen, make([]byte, to-len(h.seen))...)
	}
	copy(h.seen[at:], p)
	h.dirty = append(h.dirty, [2]int{int(at), to})
	if half {
		return len(p), errCrashed
	}
	return len(p), nil
}

func (h handle) Sync() error {
	half, err := h.disk.step("sync")
	if err != nil {
		h.dirty = nil // like Linux: the pages count as clean, although they were not written
		return err
	}
	if half && h.disk.rng.IntN(2) == 0 {
		return errCrashed
	}
	if missing := len(h.seen) - len(h.memoryFile.disk); missing > 0 {
		h.memoryFile.disk = append(h.memoryFile.disk, make([]byte, missing)...)
	}
	for _, e := range h.dirty {
		copy(h.memoryFile.disk[e[0]:e[1]], h.seen[e[0]:e[1]])
	}
	h.dirty = nil
	if half {
		return errCrashed
	}
	return nil
}
