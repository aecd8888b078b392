// Package memdisk provides a disk in memory that can crash, fail, and lose what was not
// synced.
package memdisk

import (
	"errors"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"slices"
)

// ErrCrashed is the error of each operation from the crash on.
var ErrCrashed = errors.New("crashed")

const sector = 512

// Disk is a disk with files. A crash interrupts an operation in the middle.
type Disk struct {
	Files map[string]*File
	Left  int                          // operations until the crash; negative: none
	Fail  func(operation string) error // the result of an operation, unless it is nil; may be nil
	Made  map[string]int               // operations, by name: create, rename, remove, write, sync
	rng   *rand.Rand
}

// File is what programs see, what is on the disk, and what is in between.
type File struct {
	Seen  []byte
	disk  []byte
	dirty []extent
}

type extent struct{ from, to int }

// New returns an empty disk. A crash, and what it loses, are chosen by rng.
func New(rng *rand.Rand) *Disk {
	return &Disk{Files: map[string]*File{}, Left: -1, Made: map[string]int{}, rng: rng}
}

// Written returns a file with that content, which is on the disk.
func Written(content []byte) *File {
	return &File{Seen: slices.Clone(content), disk: slices.Clone(content)}
}

// begin counts one operation; half: it is the one that the crash interrupts.
func (d *Disk) begin(operation string) (half bool, err error) {
	d.Made[operation]++
	if d.Fail != nil {
		if err := d.Fail(operation); err != nil {
			return false, err
		}
	}
	switch d.Left {
	case -1:
		return false, nil
	case 0:
		return false, ErrCrashed
	}
	d.Left--
	return d.Left == 0, nil
}

// Names returns the names of the files, sorted.
func (d *Disk) Names() []string { return slices.Sorted(maps.Keys(d.Files)) }

// ReadFile returns the content of a file as programs see it.
func (d *Disk) ReadFile(name string) ([]byte, error) {
	f, ok := d.Files[name]
	if !ok {
		return nil, fs.ErrNotExist
	}
	return slices.Clone(f.Seen), nil
}

// Open opens a file.
func (d *Disk) Open(name string) (*Handle, error) {
	f, ok := d.Files[name]
	if !ok {
		return nil, fs.ErrNotExist
	}
	return &Handle{d, f}, nil
}

// Create creates an empty file, or replaces one by it.
func (d *Disk) Create(name string) (*Handle, error) {
	half, err := d.begin("create")
	if err != nil {
		return nil, err
	}
	d.Files[name] = &File{}
	if half {
		return nil, ErrCrashed
	}
	return &Handle{d, d.Files[name]}, nil
}

// Rename renames a file, on the disk when it returns.
func (d *Disk) Rename(from, to string) error {
	return d.change("rename", func() { d.Files[to] = d.Files[from]; delete(d.Files, from) })
}

// Remove removes a file, on the disk when it returns.
func (d *Disk) Remove(name string) error {
	return d.change("remove", func() { delete(d.Files, name) })
}

func (d *Disk) change(operation string, do func()) error {
	half, err := d.begin(operation)
	if err != nil {
		return err
	}
	if !half || d.rng.IntN(2) == 0 {
		do()
	}
	if half {
		return ErrCrashed
	}
	return nil
}

// Restart returns the disk as the next process sees it. With the power lost, any part of
// what was not synced is lost, also parts of sectors; a sector in which nothing was
// synced can be garbage.
func (d *Disk) Restart(powerLost bool) *Disk {
	next := New(d.rng)
	for _, name := range d.Names() { // in one order: a seed reproduces
		f := d.Files[name]
		if powerLost {
			next.Files[name] = f.lose(d.rng)
			continue
		}
		next.Files[name] = &File{Seen: slices.Clone(f.Seen), disk: slices.Clone(f.disk), dirty: slices.Clone(f.dirty)}
	}
	return next
}

func (f *File) lose(rng *rand.Rand) *File {
	disk := make([]byte, max(len(f.Seen), len(f.disk)))
	copy(disk, f.disk)
	everything := rng.IntN(4) == 0
	for _, e := range f.dirty {
		for from := e.from; from < e.to; {
			to := min(e.to, (from/sector+1)*sector)
			switch rng.IntN(8) {
			case 0: // lost
			case 1: // a part of the sector
				copy(disk[from:to], f.Seen[from:from+rng.IntN(to-from+1)])
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
					copy(disk[from:to], f.Seen[from:to])
				}
			}
			from = to
		}
	}
	return Written(disk)
}

func isZero(data []byte, from, to int) bool {
	for i := from; i < min(to, len(data)); i++ {
		if data[i] != 0 {
			return false
		}
	}
	return true
}

// Handle is an open file.
type Handle struct {
	disk *Disk
	file *File
}

// Close closes the file.
func (*Handle) Close() error { return nil }

// Size returns the size of the file.
func (h *Handle) Size() (int64, error) { return int64(len(h.file.Seen)), nil }

// ReadAt implements io.ReaderAt.
func (h *Handle) ReadAt(p []byte, at int64) (int, error) {
	if at > int64(len(h.file.Seen)) {
		return 0, io.EOF
	}
	n := copy(p, h.file.Seen[at:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// WriteAt implements io.WriterAt. A crash writes a part.
func (h *Handle) WriteAt(p []byte, at int64) (int, error) {
	half, err := h.disk.begin("write")
	if err != nil {
		return 0, err
	}
	if half {
		p = p[:h.disk.rng.IntN(len(p)+1)]
	}
	f, to := h.file, int(at)+len(p)
	if to > len(f.Seen) {
		f.Seen = append(f.Seen, make([]byte, to-len(f.Seen))...)
	}
	copy(f.Seen[at:], p)
	f.dirty = append(f.dirty, extent{int(at), to})
	if half {
		return len(p), ErrCrashed
	}
	return len(p), nil
}

// Sync brings the content to the disk.
func (h *Handle) Sync() error {
	f := h.file
	half, err := h.disk.begin("sync")
	if err != nil {
		if !errors.Is(err, ErrCrashed) {
			f.dirty = nil // like Linux: the pages count as clean, although they were not written
		}
		return err
	}
	if half && h.disk.rng.IntN(2) == 0 {
		return ErrCrashed
	}
	if missing := len(f.Seen) - len(f.disk); missing > 0 {
		f.disk = append(f.disk, make([]byte, missing)...)
	}
	for _, e := range f.dirty {
		copy(f.disk[e.from:e.to], f.Seen[e.from:e.to])
	}
	f.dirty = nil
	if half {
		return ErrCrashed
	}
	return nil
}
