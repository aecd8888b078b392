package table

import (
	"iter"

	"github.com/tidwall/btree"

	"github.com/meshway/meshway/consensus/catalog/replica/internal/keys"
)

// tree is an index: a B-tree of pointers to records, sorted by key. Copies share all
// nodes that did not change.
type tree[T any] struct {
	items *btree.BTreeG[item[T]]
	key   func(*T) keys.Key
}

// item is a record, or the key from which a search starts.
type item[T any] struct {
	record *T
	from   *keys.Key // record is nil
}

func newTree[T any](key func(*T) keys.Key) tree[T] {
	less := func(a, b item[T]) bool {
		if a.from != nil {
			k := key(b.record)
			return a.from.Compare(&k) < 0
		}
		k := key(a.record)
		if b.from != nil {
			return k.Compare(b.from) < 0
		}
		other := key(b.record)
		return k.Compare(&other) < 0
	}
	// No locks: with them, a long iteration would delay a copy. Small nodes: a change
	// copies those on its path.
	return tree[T]{items: btree.NewBTreeGOptions(less, btree.Options{NoLocks: true, Degree: 8}), key: key}
}

// copied returns a tree with the same records. It must not be called concurrently with
// itself or a change; the tree may be read meanwhile.
func (t tree[T]) copied() tree[T] { return tree[T]{items: t.items.Copy(), key: t.key} }

// set adds a record, or replaces the one with its key and returns that.
func (t tree[T]) set(r *T) (replaced *T) {
	before, _ := t.items.Set(item[T]{record: r})
	return before.record
}

// remove removes the record with the key of r, and returns it; nil: there is none.
func (t tree[T]) remove(r *T) (removed *T) {
	before, _ := t.items.Delete(item[T]{record: r})
	return before.record
}

// selected yields the records whose keys begin with parts, in order. Keys with a time
// have none to select by.
func (t tree[T]) selected(parts []string) iter.Seq[*T] {
	if len(parts) == 0 {
		return func(yield func(*T) bool) {
			t.items.Scan(func(i item[T]) bool { return yield(i.record) })
		}
	}
	from := keys.Of(parts...)
	return func(yield func(*T) bool) {
		t.items.Ascend(item[T]{from: &from}, func(i item[T]) bool {
			k := t.key(i.record)
			return k.HasParts(parts) && yield(i.record)
		})
	}
}

// first returns the first record whose key begins with parts, nil if there is none.
func (t tree[T]) first(parts []string) *T {
	for r := range t.selected(parts) {
		return r
	}
	return nil
}
