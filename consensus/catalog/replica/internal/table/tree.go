package table

import (
	"slices"
	"sync/atomic"

	"github.com/meshway/meshway/consensus/catalog/replica/internal/keys"
)

// maxRecords is how many records, or children, a node has at most.
const maxRecords = 32

// tree is an index: a B+ tree of records, sorted by key. After freeze, a copy of it is
// a version that stays as it is.
type tree[T any] struct {
	root  *node[T] // nil: empty
	key   func(*T) keys.Key
	clock *atomic.Uint64 // counts the versions of all trees of a database
	own   uint64         // version of the nodes that may be changed
}

// node is a leaf, or has children, which are at the same height. A tree changes only
// nodes of its own version, and replaces others.
type node[T any] struct {
	version  uint64
	records  []*T       // of a leaf; otherwise the first record below each child
	children []*node[T] // nil: a leaf
}

// freeze makes the present nodes immutable.
func (t *tree[T]) freeze() { t.own = t.clock.Add(1) }

// owned returns n, or a copy of it that may be changed.
func (t *tree[T]) owned(n *node[T]) *node[T] {
	if n.version == t.own {
		return n
	}
	return &node[T]{version: t.own, records: slices.Clone(n.records), children: slices.Clone(n.children)}
}

// search returns the position of the first record of n at or after what p selects, and
// whether p selects it.
func (t *tree[T]) search(n *node[T], p keys.Probe) (at int, found bool) {
	from, to := 0, len(n.records)
	for from < to {
		middle := int(uint(from+to) >> 1) //nolint:gosec // not negative
		k := t.key(n.records[middle])
		c := p.Compare(&k)
		if c < 0 {
			from = middle + 1
			continue
		}
		to, found = middle, c == 0
	}
	return from, found
}

// first returns the first record below n that p selects, nil if there is none.
func (t *tree[T]) first(n *node[T], p keys.Probe) *T {
	if n == nil {
		return nil
	}
	i, found := t.search(n, p)
	if n.children != nil && i > 0 && (!found || !p.IsWhole()) {
		if r := t.first(n.children[i-1], p); r != nil {
			return r
		}
	}
	if !found {
		return nil
	}
	return n.records[i]
}

// ascend calls yield with the records below n that p selects, in order, until it
// returns false or another record follows. It reports whether more may follow.
func (t *tree[T]) ascend(n *node[T], p keys.Probe, yield func(*T) bool) bool {
	from := 0
	if !p.IsAll() {
		from, _ = t.search(n, p)
	}
	for _, child := range n.children[min(max(from-1, 0), len(n.children)):] {
		if !t.ascend(child, p, yield) {
			return false
		}
	}
	if n.children != nil {
		return true
	}
	for _, r := range n.records[from:] {
		if !p.IsAll() {
			if k := t.key(r); p.Compare(&k) != 0 {
				return false
			}
		}
		if !yield(r) {
			return false
		}
	}
	return true
}

// set adds a record, or replaces the one with its key and returns that.
func (t *tree[T]) set(r *T) (replaced *T) {
	if t.root == nil {
		t.root = &node[T]{version: t.own, records: []*T{r}}
		return nil
	}
	k := t.key(r)
	left, right, replaced := t.insert(t.root, keys.Whole(&k), r, true)
	t.root = left
	if right != nil {
		t.root = &node[T]{version: t.own, records: []*T{left.records[0], right.records[0]}, children: []*node[T]{left, right}}
	}
	return replaced
}

// insert returns n with a record, in two nodes if it was full. last: no node at its
// height follows n.
func (t *tree[T]) insert(n *node[T], p keys.Probe, r *T, last bool) (left, right *node[T], replaced *T) {
	i, found := t.search(n, p)
	if n.children == nil {
		if !found {
			left, right = t.add(n, i, r, nil, last)
			return left, right, nil
		}
		n = t.owned(n)
		replaced, n.records[i] = n.records[i], r
		return n, nil, replaced
	}
	if !found {
		i = max(i-1, 0)
	}
	child, second, replaced := t.insert(n.children[i], p, r, last && i == len(n.children)-1)
	n = t.owned(n)
	n.children[i], n.records[i] = child, child.records[0]
	if second == nil {
		return n, nil, replaced
	}
	left, right = t.add(n, i+1, second.records[0], second, last)
	return left, right, replaced
}

// add inserts a record at i, with its child unless n is a leaf. A full node is split
// in the middle, but the last one at its end if the record follows it, so that
// records that come in order fill the nodes.
func (t *tree[T]) add(n *node[T], i int, r *T, child *node[T], last bool) (left, right *node[T]) {
	if len(n.records) < maxRecords {
		n = t.owned(n)
		n.records = slices.Insert(n.records, i, r)
		if child != nil {
			n.children = slices.Insert(n.children, i, child)
		}
		return n, nil
	}
	if last && i == maxRecords {
		right = &node[T]{version: t.own, records: []*T{r}}
		if child != nil {
			right.children = []*node[T]{child}
		}
		return n, right
	}
	const half = maxRecords / 2
	left, right = t.part(n, 0, half), t.part(n, half, maxRecords)
	if i <= half {
		left, _ = t.add(left, i, r, child, false)
	} else {
		right, _ = t.add(right, i-half, r, child, false)
	}
	return left, right
}

// part returns a node with a part of what n has.
func (t *tree[T]) part(n *node[T], from, to int) *node[T] {
	p := &node[T]{version: t.own, records: slices.Clone(n.records[from:to])}
	if n.children != nil {
		p.children = slices.Clone(n.children[from:to])
	}
	return p
}

// remove removes the record with the key of r, and returns it; nil: there is none.
func (t *tree[T]) remove(r *T) (removed *T) {
	if t.root == nil {
		return nil
	}
	k := t.key(r)
	t.root, removed = t.without(t.root, keys.Whole(&k))
	for len(t.root.children) == 1 {
		t.root = t.root.children[0]
	}
	if len(t.root.records) == 0 {
		t.root = nil
	}
	return removed
}

// without returns n without a record.
func (t *tree[T]) without(n *node[T], p keys.Probe) (rest *node[T], removed *T) {
	i, found := t.search(n, p)
	if n.children == nil {
		if !found {
			return n, nil
		}
		n = t.owned(n)
		removed = n.records[i]
		n.records = slices.Delete(n.records, i, i+1)
		return n, removed
	}
	if !found {
		i = max(i-1, 0)
	}
	child, removed := t.without(n.children[i], p)
	if removed == nil {
		return n, nil
	}
	n = t.owned(n)
	n.children[i] = child
	if len(child.records) == 0 {
		n.records, n.children = slices.Delete(n.records, i, i+1), slices.Delete(n.children, i, i+1)
		return n, removed
	}
	n.records[i] = child.records[0]
	if len(child.records) < maxRecords/4 && !t.merge(n, i-1) {
		t.merge(n, i)
	}
	return n, removed
}

// merge merges two children of n, i and the next one, if both exist and have room.
func (t *tree[T]) merge(n *node[T], i int) bool {
	if i < 0 || i+1 >= len(n.children) {
		return false
	}
	a, b := n.children[i], n.children[i+1]
	if len(a.records)+len(b.records) > maxRecords*3/4 {
		return false
	}
	merged := &node[T]{version: t.own, records: slices.Concat(a.records, b.records)}
	if a.children != nil {
		merged.children = slices.Concat(a.children, b.children)
	}
	n.children[i] = merged
	n.records, n.children = slices.Delete(n.records, i+1, i+2), slices.Delete(n.children, i+1, i+2)
	return true
}
