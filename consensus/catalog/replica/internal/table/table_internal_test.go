package table

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/consensus/catalog/replica/internal/keys"
)

type pet struct {
	name, kind string
	born       int
}

func (p *pet) bornAt() time.Time { return time.Unix(int64(p.born), 0) }

func pets() *DB {
	return NewDB(New("pets",
		Index[pet]{"id", func(p *pet) keys.Key { return keys.Of(p.name) }},
		Index[pet]{"kind", func(p *pet) keys.Key { return keys.Of(p.kind, p.name) }},
		Index[pet]{"born", func(p *pet) keys.Key { return keys.At(p.bornAt(), p.name) }}))
}

// model is what a database should contain.
type model map[string]pet

func (m model) sorted(less func(a, b pet) int) []pet {
	var all []pet
	for _, p := range m {
		all = append(all, p)
	}
	slices.SortFunc(all, less)
	return all
}

// expect checks that all indexes have the records of the model, and are well-formed.
func (m model) expect(t *testing.T, x *Txn) {
	t.Helper()
	of := func(index string, parts ...string) (all []pet) {
		for p := range Each[pet](x, "pets", index, parts...) {
			all = append(all, *p)
		}
		return all
	}
	byName := func(a, b pet) int { return strings.Compare(a.name, b.name) }
	require.Equal(t, m.sorted(byName), of("id"))
	require.Equal(t, m.sorted(func(a, b pet) int {
		return cmp.Or(strings.Compare(a.kind, b.kind), strings.Compare(a.name, b.name))
	}), of("kind"))
	require.Equal(t, m.sorted(func(a, b pet) int {
		if a.born != b.born {
			return a.born - b.born
		}
		return byName(a, b)
	}), of("born"))
	var cats []pet
	for _, p := range m.sorted(byName) {
		if p.kind == "cat" {
			cats = append(cats, p)
		}
	}
	require.Equal(t, cats, of("kind", "cat"))
	if len(cats) > 0 {
		require.Equal(t, cats[0], *First[pet](x, "pets", "kind", "cat"))
		require.Equal(t, cats[0], *First[pet](x, "pets", "id", cats[0].name))
	}
	require.Nil(t, First[pet](x, "pets", "kind", "dragon"))
}

// step makes one random change in a transaction and in the model.
func step(r *rand.Rand, x *Txn, m model, names int) {
	p := pet{fmt.Sprint("p", r.IntN(names)), []string{"cat", "dog", "cat-like"}[r.IntN(3)], r.IntN(50) - 25}
	switch have := First[pet](x, "pets", "id", p.name); {
	case have != nil && r.IntN(2) == 0:
		Delete(x, "pets", have)
		delete(m, p.name)
	case r.IntN(names) == 0:
		DeleteAll[pet](x, "pets", "kind", p.kind)
		for name, other := range m {
			if other.kind == p.kind {
				delete(m, name)
			}
		}
	default:
		Insert(x, "pets", &p)
		m[p.name] = p
	}
}

func clone(m model) model {
	c := model{}
	for k, v := range m {
		c[k] = v
	}
	return c
}

// TestEachVersionStaysAsItIs makes random transactions, of which some are dropped, and
// compares all versions with models, also those of copies that diverged.
func TestEachVersionStaysAsItIs(t *testing.T) {
	for seed := range uint64(6) {
		r := rand.New(rand.NewPCG(seed, 1))
		db, m := pets(), model{}
		type version struct {
			x *Txn
			m model
		}
		var versions []version
		for range 25 {
			x, next := db.Write(), clone(m)
			for range 1 + r.IntN(200) {
				step(r, x, next, 400)
			}
			next.expect(t, x)
			switch r.IntN(5) {
			case 0: // dropped
			case 1: // a copy has it only
				other := db.Snapshot()
				y := other.Write()
				inCopy := clone(m)
				for range 50 {
					step(r, y, inCopy, 400)
				}
				y.Commit()
				versions = append(versions, version{other.Read(), inCopy})
			default:
				x.Commit()
				m = next
			}
			versions = append(versions, version{db.Read(), clone(m)})
		}
		for _, v := range versions {
			v.m.expect(t, v.x)
		}
	}
}

func TestChangesAreTheNetEffectOfATransaction(t *testing.T) {
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 2))
		db, m := pets(), model{}
		for range 20 {
			x, before := db.Write(), clone(m)
			for range r.IntN(30) {
				step(r, x, m, 20)
			}
			applied, seen := clone(before), map[string]bool{}
			for _, c := range x.Changes() {
				assert.Equal(t, "pets", c.Table)
				was, _ := c.Before.(*pet)
				is, _ := c.After.(*pet)
				require.False(t, was == nil && is == nil)
				name := ""
				if was != nil {
					name = was.name
					require.Equal(t, before[name], *was)
				}
				if is == nil {
					assert.Nil(t, c.After, "not a nil pointer")
					delete(applied, name)
				} else {
					name = is.name
					applied[name] = *is
				}
				_, existed := before[name]
				require.Equal(t, existed, was != nil)
				require.False(t, seen[name], "one change of each record")
				seen[name] = true
			}
			require.Equal(t, m, applied)
			x.Commit()
			assert.Empty(t, db.Write().Changes())
		}
	}
}

func TestARecordMayBeRemovedDuringAnIteration(t *testing.T) {
	db := pets()
	x := db.Write()
	for i := range 1000 {
		Insert(x, "pets", &pet{fmt.Sprintf("p%04d", i), "cat", i})
	}
	n := 0
	for p := range Each[pet](x, "pets", "born") {
		Delete(x, "pets", p)
		n++
	}
	assert.Equal(t, 1000, n)
	model{}.expect(t, x)
}

func TestWhatTheSchemaLacksPanics(t *testing.T) {
	x := pets().Write()
	assert.Panics(t, func() { First[pet](x, "plants", "id") })
	assert.Panics(t, func() { First[pet](x, "pets", "age") })
	assert.Panics(t, func() { First[string](x, "pets", "id") })
	assert.Panics(t, func() { Delete(x, "pets", &pet{name: "none"}) })
}
