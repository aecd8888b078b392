package logstore

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// DamageError is the error of Open and GetLog for content that was acknowledged and is
// damaged.
type DamageError struct {
	File   string // name in the directory
	Offset int    // of the first damaged record
	Reason string
}

func (e *DamageError) Error() string {
	return fmt.Sprintf("%s is damaged at byte %d: %s", e.File, e.Offset, e.Reason)
}

// ErrMissing is the error of Open for a directory without a log.
var ErrMissing = errors.New("there is no segment of the log")

// contents is what a directory contains.
type contents struct {
	segments  []*segment // oldest first; their files are open
	index     index
	leftovers []string // of segments that were not finished
	tail      tail
}

// tail is what follows the end of the last segment, and what comes before it and may
// be in memory only.
type tail struct {
	unproved []byte // the last records: no later record proves that they are on the disk
	marked   bool   // a mark follows them
	garbage  int    // offset behind the last byte that is not zero; 0: there is none
}

// replay reads a directory. It changes nothing.
func replay(dir files) (c contents, err error) {
	numbers, leftovers, err := list(dir)
	if err != nil {
		return contents{}, err
	}
	c.leftovers = leftovers
	defer func() {
		if err != nil {
			err = errors.Join(err, closeAll(c.segments))
		}
	}()
	var unread []byte // content of the newest segment so far
	for i, number := range numbers {
		if i > 0 && number != numbers[i-1]+1 {
			return c, &DamageError{File: segmentName(numbers[i-1] + 1), Reason: "the file is missing"}
		}
		s, data, err := readSegment(dir, number)
		if err != nil {
			return c, err
		}
		if i > 0 {
			if err := c.addSealed(unread, s.previous); err != nil {
				return c, errors.Join(err, s.file.Close())
			}
		}
		c.segments, unread = append(c.segments, s), data
	}
	if len(c.segments) == 0 {
		return c, ErrMissing
	}
	return c, c.addLast(unread)
}

// list returns the numbers of the segments, and the names of those that were not
// finished.
func list(dir files) (numbers []uint64, leftovers []string, err error) {
	names, err := dir.List()
	if err != nil {
		return nil, nil, err
	}
	for _, name := range names {
		if number, ok := parseName(name); ok {
			numbers = append(numbers, number)
		} else if strings.HasSuffix(name, suffix+unfinished) {
			leftovers = append(leftovers, name)
		}
	}
	slices.Sort(numbers)
	return numbers, leftovers, nil
}

func readSegment(dir files, number uint64) (*segment, []byte, error) {
	f, err := dir.Open(segmentName(number))
	if err != nil {
		return nil, nil, err
	}
	size, err := f.Size()
	if err != nil {
		return nil, nil, errors.Join(err, f.Close())
	}
	data := make([]byte, size)
	if _, err := io.ReadFull(io.NewSectionReader(f, 0, size), data); err != nil {
		return nil, nil, errors.Join(err, f.Close())
	}
	s, err := parseHeader(data)
	if err == nil && s.number != number {
		err = fmt.Errorf("the header is that of %s", s.name())
	}
	if err != nil {
		return nil, nil, errors.Join(&DamageError{File: segmentName(number), Reason: err.Error()}, f.Close())
	}
	s.file = f
	return s, data[:s.capacity], nil
}

// add applies the records of the newest segment up to limit, and returns the last
// offset that a record proves to be on the disk.
func (c *contents) add(data []byte, limit int) (synced int, err error) {
	s := c.segments[len(c.segments)-1]
	s.end, err = s.walk(data, limit, func(r record, offset int) error {
		synced = max(synced, r.synced)
		if r.kind == kindTruncate {
			c.index.cut(r.log.Index)
			return nil
		}
		if last := c.index.last(); last != 0 && r.log.Index != last+1 {
			return &DamageError{File: s.name(), Offset: offset, Reason: fmt.Sprintf("entry %d follows entry %d", r.log.Index, last)}
		}
		c.index.add(r.log.Index, position{segment: s, offset: offset, size: r.size})
		return nil
	})
	return synced, err
}

// addSealed applies a segment that is followed by another, which contains its end.
func (c *contents) addSealed(data []byte, limit int) error {
	s := c.segments[len(c.segments)-1]
	if limit < segmentHeader || limit > len(data) {
		return &DamageError{File: segmentName(s.number + 1), Reason: fmt.Sprintf("the segment before it ends at byte %d", limit)}
	}
	if _, err := c.add(data, limit); err != nil {
		return err
	}
	if s.end != limit {
		return &DamageError{File: s.name(), Offset: s.end, Reason: fmt.Sprintf("the record is not valid, and records follow up to byte %d", limit)}
	}
	return nil
}

// addLast applies the newest segment. What is not valid at its end is damage if a
// record behind it was written when it was already on the disk: a batch is written
// when the one before it is there.
func (c *contents) addLast(data []byte) error {
	s := c.segments[len(c.segments)-1]
	synced, err := c.add(data, len(data))
	if err != nil {
		return err
	}
	rest := trimZeros(data[s.end:])
	if len(rest) == 0 {
		c.tail.unproved = data[max(synced, segmentHeader):s.end]
		return nil
	}
	later := s.proved(data, s.end, s.end+len(rest))
	if later > s.end {
		return &DamageError{
			File: s.name(), Offset: s.end,
			Reason: fmt.Sprintf("the record is not valid, and the segment was on the disk up to byte %d", later),
		}
	}
	c.tail.unproved = data[max(synced, later, segmentHeader):s.end]
	if r, ok := decodeRecord(data[s.end:], s.salt, s.end); ok && r.kind == kindMark {
		c.tail.marked = true
		rest = trimZeros(data[s.end+r.size:])
		if len(rest) == 0 {
			return nil
		}
		rest = data[s.end : s.end+r.size+len(rest)]
	}
	c.tail.garbage = s.end + len(rest)
	return nil
}

// trimZeros returns data without the zeros at its end. These are most of a segment that
// was just allocated, so they are compared by pages.
func trimZeros(data []byte) []byte {
	var zeros [pageSize]byte
	for len(data) >= len(zeros) && bytes.Equal(data[len(data)-len(zeros):], zeros[:]) {
		data = data[:len(data)-len(zeros)]
	}
	return bytes.TrimRight(data, "\x00")
}

func closeAll(segments []*segment) error {
	var errs []error
	for _, s := range segments {
		errs = append(errs, s.file.Close())
	}
	return errors.Join(errs...)
}

// Inspect returns the first and the last index of the log in a directory, which must
// not be open; zero: it is empty. It changes nothing.
func Inspect(dir string) (first, last uint64, err error) {
	c, err := replay(directory(dir))
	if err != nil {
		return 0, 0, err
	}
	return c.index.first, c.index.last(), closeAll(c.segments)
}
