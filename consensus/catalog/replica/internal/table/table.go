package table

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/meshway/meshway/consensus/catalog/replica/internal/keys"
)

// Index is an ordered index of a table; each key has one record.
type Index[T any] struct {
	Name string
	Key  func(*T) keys.Key
}

// Table is a version of the records of one type. The first index identifies a record.
type Table interface {
	name() string
	// fork returns a version that a transaction may change.
	fork() Table
	// changes returns what was changed since fork.
	changes() []Change
	// settle forgets the changes.
	settle()
}

// Change is what a transaction stored in place of what: pointers to records, nil if
// there is none.
type Change struct {
	Table         string
	Before, After any
}

// Same reports whether c stored a record of type T that is equal to the one before.
func Same[T interface{ Equal(other T) bool }](c Change) bool {
	before, had := c.Before.(*T)
	after, has := c.After.(*T)
	return had && has && (*before).Equal(*after)
}

// New returns an empty table. The record of a key of the other indexes must be the
// same one as that of the first index.
func New[T any](name string, id Index[T], others ...Index[T]) Table {
	c := &content[T]{table: name}
	for _, i := range append([]Index[T]{id}, others...) {
		c.indexes = append(c.indexes, i.Name)
		c.trees = append(c.trees, newTree(i.Key))
	}
	return c
}

// content is a Table.
type content[T any] struct {
	table   string
	indexes []string
	trees   []tree[T] // by index
	changed []change[T]
}

type change[T any] struct{ before, after *T }

func (c *content[T]) name() string { return c.table }

func (c *content[T]) fork() Table {
	next := &content[T]{table: c.table, indexes: c.indexes, trees: slices.Clone(c.trees)}
	for i := range next.trees {
		next.trees[i] = c.trees[i].copied()
	}
	return next
}

func (c *content[T]) settle() { c.changed = nil }

// index returns the index with a name. It panics if there is none, which depends on no
// input.
func (c *content[T]) index(name string) tree[T] {
	i := slices.Index(c.indexes, name)
	if i < 0 {
		panic(fmt.Sprintf("table %s has no index %s", c.table, name))
	}
	return c.trees[i]
}

// insert adds a record, or replaces the one with its id.
func (c *content[T]) insert(r *T) {
	before := c.trees[0].set(r)
	for i := 1; i < len(c.trees); i++ {
		t := c.trees[i]
		if before != nil {
			if was, is := t.key(before), t.key(r); was != is {
				t.remove(before)
			}
		}
		t.set(r)
	}
	c.changed = append(c.changed, change[T]{before, r})
}

// remove removes a record.
func (c *content[T]) remove(r *T) {
	before := c.trees[0].remove(r)
	if before == nil {
		panic("table " + c.table + " does not have the record that is removed")
	}
	for i := 1; i < len(c.trees); i++ {
		c.trees[i].remove(before)
	}
	c.changed = append(c.changed, change[T]{before, nil})
}

// changes returns one change of each record that was changed.
func (c *content[T]) changes() []Change {
	merged := c.changed
	if len(c.changed) > 1 {
		merged = make([]change[T], 0, len(c.changed))
		at := make(map[keys.Key]int, len(c.changed))
		for _, next := range c.changed {
			id := c.trees[0].key(cmp.Or(next.after, next.before))
			if i, again := at[id]; again {
				merged[i].after = next.after
				continue
			}
			at[id] = len(merged)
			merged = append(merged, next)
		}
	}
	out := make([]Change, 0, len(merged))
	for _, m := range merged {
		if m.before != nil || m.after != nil {
			out = append(out, Change{c.table, untyped(m.before), untyped(m.after)})
		}
	}
	return out
}

// untyped returns a nil pointer as nil.
func untyped[T any](record *T) any {
	if record == nil {
		return nil
	}
	return record
}
