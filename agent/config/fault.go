package config

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
)

// position is the place of a value in a file, or the flag that gives it.
type position struct {
	file         string // or the name of the flag
	line, column int    // from 1; 0 if unknown
}

func (p position) String() string {
	if p.line == 0 {
		return p.file
	}
	return fmt.Sprintf("%s:%d:%d", p.file, p.line, p.column)
}

// fault is one error in a configuration.
type fault struct {
	at      position
	message string
}

// Error returns one line with the position, the key, the error and the remedy.
func (f fault) Error() string { return f.at.String() + ": " + f.message }

// faults collects all errors of a configuration.
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
