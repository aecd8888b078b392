package table

import (
	"fmt"
	"iter"
	"slices"
	"sync"
)

// DB is a set of tables. Its methods must not be called while a transaction is
// committed; transactions that read may be used at any time, by several goroutines.
type DB struct {
	tables []Table
	fork   *sync.Mutex // held while a table is forked; copies of a database share tables
}

// NewDB returns a database of empty tables.
func NewDB(tables ...Table) *DB { return &DB{tables: tables, fork: new(sync.Mutex)} }

// Snapshot returns a database with the same records.
func (db *DB) Snapshot() *DB { return &DB{tables: db.tables, fork: db.fork} }

// Read returns a transaction that reads the present version.
func (db *DB) Read() *Txn { return &Txn{tables: db.tables} }

// Write returns a transaction that may change the tables. It has no effect until it is
// committed, and there must be no other one until then.
func (db *DB) Write() *Txn {
	return &Txn{db: db, tables: slices.Clone(db.tables), forked: make([]bool, len(db.tables))}
}

// Txn is a version of all tables.
type Txn struct {
	db     *DB // nil: it only reads
	tables []Table
	forked []bool // which tables it has changed
}

// Changes returns one change of each record that was changed.
func (x *Txn) Changes() []Change {
	var all []Change
	for i, t := range x.tables {
		if x.forked[i] {
			all = append(all, t.changes()...)
		}
	}
	return all
}

// Commit makes the version the present one of its database. The transaction can only
// read from then on.
func (x *Txn) Commit() {
	for i, t := range x.tables {
		if x.forked[i] {
			t.settle()
		}
	}
	x.db.tables = x.tables
	x.db, x.forked = nil, nil
}

// at returns the position of a table. It panics if there is none, which depends on no
// input.
func (x *Txn) at(table string) int {
	for i, t := range x.tables {
		if t.name() == table {
			return i
		}
	}
	panic("there is no table " + table)
}

// of returns a table, to change it if change is set.
func of[T any](x *Txn, table string, change bool) *content[T] {
	i := x.at(table)
	if change && !x.forked[i] {
		x.db.fork.Lock()
		x.tables[i], x.forked[i] = x.tables[i].fork(), true
		x.db.fork.Unlock()
	}
	c, ok := x.tables[i].(*content[T])
	if !ok {
		panic(fmt.Sprintf("table %s has records of another type than %T", table, *new(T)))
	}
	return c
}

// First returns the first record whose key in an index begins with parts, nil if there
// is none.
func First[T any](x *Txn, table, index string, parts ...string) *T {
	return of[T](x, table, false).index(index).first(parts)
}

// Each yields the records whose keys in an index begin with parts, in the order of the
// keys. The records are those at the time of the call.
func Each[T any](x *Txn, table, index string, parts ...string) iter.Seq[*T] {
	c := of[T](x, table, false)
	t := c.index(index)
	if x.forked != nil && x.forked[x.at(table)] {
		t = t.copied()
	}
	return t.selected(parts)
}

// Insert adds a record, or replaces the one with its id.
func Insert[T any](x *Txn, table string, record *T) { of[T](x, table, true).insert(record) }

// Delete removes a record, which must be in the table.
func Delete[T any](x *Txn, table string, record *T) { of[T](x, table, true).remove(record) }

// DeleteAll removes the records whose keys in an index begin with parts.
func DeleteAll[T any](x *Txn, table, index string, parts ...string) {
	for r := range Each[T](x, table, index, parts...) {
		Delete(x, table, r)
	}
}
