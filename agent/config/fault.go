package config

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
)

// position is where a value was given: in a file, or by a flag.
type position struct {
	file         string // or the flag
	line, column int    // 1 is the first; 0: not known
}

func (p position) String() string {
	if p.line == 0 {
		return p.file
	}
	return fmt.Sprintf("%s:%d:%d", p.file, p.line, p.column)
}

// fault is one thing that is wrong.
type fault struct {
	at      position
	message string
}

// Error is one line: where, which key, what is wrong and what would be right.
func (f fault) Error() string { return f.at.String() + ": " + f.message }

// faults collects all that is wrong, so that a person corrects it in one go.
type faults struct{ list []fault }

func (f *faults) add(at position, format string, args ...any) {
	f.list = append(f.list, fault{at, fmt.Sprintf(format, args...)})
}

// err joins the faults in the order of the file.
func (f *faults) err() error {
	slices.SortStableFunc(f.list, func(a, b fault) int {
		return cmp.Or(cmp.Compare(a.at.line, b.at.line), cmp.Compare(a.at.column, b.at.column))
	})
	var errs []error
	for _, one := range f.list {
		errs = append(errs, one)
	}
	return errors.Join(errs...)
}
