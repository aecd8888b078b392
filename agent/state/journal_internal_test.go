package state

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

type item struct {
	Name, Value string
}

const (
	itemsPath  = "/data/items.journal"
	formerPath = "/data/items.json"

	testSize = 16 << 10 // of a file
)

// journalOn returns a journal on a disk; nil: that of the host.
func journalOn(d disk) *Journal[string, item] {
	return &Journal[string, item]{
		Path: itemsPath, Former: formerPath, What: "items", Remedy: "move the file away",
		Key: func(i item) string { return i.Name }, disk: d, size: testSize,
	}
}

// load returns the values of a journal by key.
func load(t *testing.T, j *Journal[string, item]) map[string]string {
	t.Helper()
	values, err := j.Load()
	require.NoError(t, err)
	return byName(values)
}

func byName(values []item) map[string]string {
	m := map[string]string{}
	for _, v := range values {
		m[v.Name] = v.Value
	}
	return m
}

// update is one update, and what the values are after it.
type update struct {
	put    []item
	remove []string
}

func (u update) apply(values map[string]string) map[string]string {
	after := maps.Clone(values)
	for _, v := range u.put {
		after[v.Name] = v.Value
	}
	for _, name := range u.remove {
		delete(after, name)
	}
	return after
}

// script returns updates of which some do not fit into the file.
func script() []update {
	return []update{
		{put: []item{{"a", "1"}}},
		{put: []item{{"b", "1"}, {"c", "1"}}},
		{put: []item{{"a", "2"}}, remove: []string{"b"}},
		{put: []item{{"large", strings.Repeat("x", testSize/2)}}},
		{put: []item{{"d", strings.Repeat("y", 3000)}}},
		{put: []item{{"large", strings.Repeat("z", testSize)}}},
		{remove: []string{"large", "c"}},
		{put: []item{{"e", "1"}}},
	}
}

func TestJournalSurvivesARestart(t *testing.T) {
	dir := t.TempDir()
	open := func() *Journal[string, item] {
		j := journalOn(nil)
		j.Path, j.Former = filepath.Join(dir, "new", "items.journal"), filepath.Join(dir, "new", "items.json")
		return j
	}
	want := map[string]string{}
	j := open()
	require.Empty(t, load(t, j))
	for i, u := range script() {
		require.NoError(t, j.Update(u.put, u.remove))
		want = u.apply(want)
		if i%2 == 1 { // the file of a former process is appended to by none
			j = open()
			require.Equal(t, want, load(t, j))
		}
	}
	require.Equal(t, want, load(t, open()))
	for _, path := range []string{j.Path, j.Former} {
		info, err := os.Stat(path)
		require.NoError(t, err)
		assert.Equal(t, os.FileMode(0o600), info.Mode().Perm(), path)
	}
	left, err := filepath.Glob(filepath.Join(dir, "new", "*.tmp"))
	require.NoError(t, err)
	assert.Empty(t, left)
}

func TestAnUpdateIsOneSyncHoweverManyValuesThereAre(t *testing.T) {
	d := newMemoryDisk(1)
	j := journalOn(d)
	load(t, j)
	var many []item
	for i := range 1000 {
		many = append(many, item{fmt.Sprint("n", i), strings.Repeat("v", 100)})
	}
	require.NoError(t, j.Update(many, nil))
	clear(d.Made)
	for i := range 100 {
		require.NoError(t, j.Update([]item{{"a", fmt.Sprint(i)}, {"b", fmt.Sprint(i)}}, []string{"c"}))
	}
	assert.Equal(t, map[string]int{"write": 200, "sync": 100}, d.Made, "each has a record, and a mark without a sync")
	assert.Len(t, load(t, journalOn(d)), 1002)
}

// The crash is at each operation of the disk: what was acknowledged is there, and of the
// update that was not, all or nothing.
func TestNothingAcknowledgedIsLostByACrashAtAnyOperation(t *testing.T) {
	for _, former := range []bool{false, true} {
		for _, powerLost := range []bool{false, true} {
			left := 1
			for crashed := true; crashed; left++ {
				for seed := range uint64(10) {
					crashed = crash(t, left, seed, former, powerLost)
				}
			}
			require.Greater(t, left, 40)
		}
	}
}

// crash checks a crash after a number of operations, and reports whether there were as
// many.
func crash(t *testing.T, left int, seed uint64, former, powerLost bool) bool {
	t.Helper()
	d := newMemoryDisk(seed)
	want := map[string]string{}
	if former {
		d.put(formerPath, []byte(`[{"Name":"former","Value":"1"}]`))
		want["former"] = "1"
	}
	d.Left = left
	crashed, want, maybe := runScript(d, want)
	next := d.restart(powerLost)
	j := journalOn(next)
	have := load(t, j)
	if !maps.Equal(have, want) {
		require.Equal(t, maybe, have, "operation %d, seed %d, power lost %v", left, seed, powerLost)
	}
	require.NoError(t, j.Update([]item{{"after", "1"}}, nil))
	have["after"] = "1"
	require.Equal(t, have, load(t, journalOn(next.restart(powerLost))), "operation %d, seed %d", left, seed)
	return crashed
}

// runScript returns whether the disk crashed, what was acknowledged, and what the update
// that was interrupted makes of it.
func runScript(d memoryDisk, values map[string]string) (crashed bool, want, maybe map[string]string) {
	j := journalOn(d)
	if _, err := j.Load(); err != nil {
		return true, values, values
	}
	for _, u := range script() {
		if err := j.Update(u.put, u.remove); err != nil {
			return true, values, u.apply(values)
		}
		values = u.apply(values)
	}
	return j.Close() != nil, values, values
}

func TestAFailedUpdateChangesNothingOfTheNextOne(t *testing.T) {
	for _, operation := range []string{"write", "sync"} {
		d := newMemoryDisk(1)
		j := journalOn(d)
		load(t, j)
		require.NoError(t, j.Update([]item{{"a", "1"}}, nil))
		d.Fail = func(name string) error {
			if name == operation {
				return syscall.EIO
			}
			return nil
		}
		err := j.Update([]item{{"a", "2"}, {"b", "2"}}, nil)
		require.ErrorIs(t, err, syscall.EIO)
		require.ErrorContains(t, err, "write items")
		d.Fail = nil
		require.NoError(t, j.Update([]item{{"c", "3"}}, nil))
		assert.Equal(t, map[string]string{"a": "1", "c": "3"}, load(t, journalOn(d.restart(true))), operation)
	}
}

// A full disk is one on which nothing can be created: a record needs no space. A disk that
// is read only refuses every write.
func TestAFullOrReadOnlyDiskRefusesUpdatesAndKeepsTheValues(t *testing.T) {
	large := []item{{"large", strings.Repeat("x", testSize)}}
	d := newMemoryDisk(1)
	j := journalOn(d)
	load(t, j)
	require.NoError(t, j.Update([]item{{"a", "1"}}, nil))
	d.Fail = func(name string) error {
		if name == "create" {
			return syscall.ENOSPC
		}
		return nil
	}
	require.NoError(t, j.Update([]item{{"b", "1"}}, nil), "there is room in the file")
	require.ErrorIs(t, j.Update(large, nil), syscall.ENOSPC)
	assert.Equal(t, map[string]string{"a": "1", "b": "1"}, load(t, journalOn(d.restart(true))))
	d.Fail = func(string) error { return syscall.EROFS }
	j = journalOn(d)
	assert.Equal(t, map[string]string{"a": "1", "b": "1"}, load(t, j), "nothing is written at the start")
	require.ErrorIs(t, j.Update([]item{{"c", "1"}}, nil), syscall.EROFS)
	d.Fail = nil
	require.NoError(t, j.Update([]item{{"d", "1"}}, nil))
	assert.Equal(t, map[string]string{"a": "1", "b": "1", "d": "1"}, load(t, journalOn(d)))
}

// damaged returns a disk with two updates, and its journal up to the zeros.
func damaged(t *testing.T) (d memoryDisk, used []byte, want map[string]string) {
	t.Helper()
	d = newMemoryDisk(1)
	j := journalOn(d)
	load(t, j)
	require.NoError(t, j.Update([]item{{"a", "1"}}, nil))
	require.NoError(t, j.Update([]item{{"b", "1"}}, []string{"a"}))
	data, err := d.ReadFile(itemsPath)
	require.NoError(t, err)
	return d, data[:j.file.end+recordHeader], map[string]string{"b": "1"}
}

func TestADamagedByteIsFoundAndTheFileIsKept(t *testing.T) {
	d, used, want := damaged(t)
	whole, err := d.ReadFile(itemsPath)
	require.NoError(t, err)
	for i := range used {
		content := bytes.Clone(whole)
		content[i] ^= 0x41
		d.put(itemsPath, content)
		values, err := journalOn(d).Load()
		if i >= len(used)-recordHeader { // the mark, behind which nothing was written
			require.NoError(t, err)
			require.Equal(t, want, byName(values))
			continue
		}
		require.ErrorContains(t, err, itemsPath, "byte %d", i)
		require.ErrorContains(t, err, "move the file away")
		kept, err := d.ReadFile(itemsPath)
		require.NoError(t, err)
		require.Equal(t, content, kept)
	}
}

func TestAJournalThatIsCutShortOrEmptyIsRefused(t *testing.T) {
	d, used, _ := damaged(t)
	whole, err := d.ReadFile(itemsPath)
	require.NoError(t, err)
	for _, size := range []int{0, 1, journalHeader, len(used), len(whole) - 1} {
		d.put(itemsPath, whole[:size])
		_, err := journalOn(d).Load()
		require.ErrorContains(t, err, "is corrupt", "%d bytes", size)
		require.ErrorContains(t, err, "move the file away")
	}
}

// A torn end is one behind which nothing was written.
func TestATornEndIsRemovedByTheNextUpdate(t *testing.T) {
	d, used, want := damaged(t)
	whole, err := d.ReadFile(itemsPath)
	require.NoError(t, err)
	record := bytes.Repeat([]byte("torn"), 300)
	for n := range len(record) {
		content := bytes.Clone(whole)
		copy(content[len(used)-recordHeader:], record[:n])
		d.put(itemsPath, content)
		j := journalOn(d)
		require.Equal(t, want, load(t, j))
		if n%100 == 0 {
			require.NoError(t, j.Update(nil, []string{"none"}))
			after, err := d.ReadFile(itemsPath)
			require.NoError(t, err)
			require.NotContains(t, string(after), "torn")
			require.Equal(t, want, load(t, journalOn(d)))
		}
	}
}

func TestAValueCannotContainARecord(t *testing.T) {
	d, used, _ := damaged(t)
	whole, err := d.ReadFile(itemsPath)
	require.NoError(t, err)
	record := whole[journalHeader : len(used)-recordHeader] // of the same file
	content := bytes.Clone(whole)
	copy(content[len(used):], record)
	d.put(itemsPath, content)
	assert.Equal(t, map[string]string{"b": "1"}, load(t, journalOn(d)), "it is not valid elsewhere")
}

func TestTheFileOfAnEarlierBuildIsTakenOver(t *testing.T) {
	d := newMemoryDisk(1)
	d.put(formerPath, []byte(`[{"Name":"a","Value":"1"},{"Name":"b","Value":"2"}]`))
	want := map[string]string{"a": "1", "b": "2"}
	assert.Equal(t, want, load(t, journalOn(d)))
	former, err := d.ReadFile(formerPath)
	require.NoError(t, err)
	var list []item
	require.Error(t, json.Unmarshal(former, &list), "an earlier build refuses it, instead of starting without values")
	assert.Equal(t, want, load(t, journalOn(d)))

	d.put(formerPath, []byte(`[{"Name":"c","Value":"3"}]`))
	assert.Equal(t, map[string]string{"c": "3"}, load(t, journalOn(d)), "an earlier build has run since, and its list is newer")
	d.put(formerPath, []byte("null"))
	assert.Empty(t, load(t, journalOn(d)), "an earlier build has removed the last one")
}

func TestAnEarlierBuildFollowsAfterClose(t *testing.T) {
	d := newMemoryDisk(1)
	j := journalOn(d)
	require.NoError(t, j.Close(), "nothing was loaded")
	load(t, j)
	require.NoError(t, j.Close(), "there are no values")
	require.Empty(t, d.Files)
	require.NoError(t, j.Update([]item{{"a", "1"}, {"b", "2"}}, nil))
	d.Fail = func(string) error { return syscall.ENOSPC }
	require.ErrorIs(t, j.Close(), syscall.ENOSPC)
	d.Fail = nil
	want := map[string]string{"a": "1", "b": "2"}
	require.Equal(t, want, load(t, journalOn(d)))
	require.NoError(t, j.Close())
	former, err := d.ReadFile(formerPath)
	require.NoError(t, err)
	var list []item
	require.NoError(t, json.Unmarshal(former, &list))
	assert.Equal(t, want, byName(list))
	assert.NotContains(t, d.Files, itemsPath)
	require.NoError(t, j.Update([]item{{"c", "3"}}, nil), "a write that came too late")
	want["c"] = "3"
	assert.Equal(t, want, load(t, journalOn(d)))
}

func TestCloseDoesNotReplaceWhatCouldNotBeRead(t *testing.T) {
	d, _, _ := damaged(t)
	delete(d.Files, itemsPath)
	j := journalOn(d)
	_, err := j.Load()
	require.Error(t, err)
	require.NoError(t, j.Close())
	_, err = journalOn(d).Load()
	require.ErrorContains(t, err, "is missing")
}

func TestTheFileOfAnEarlierBuildStaysUntilTheJournalIsRead(t *testing.T) {
	former := []byte(`[{"Name":"a","Value":"1"}]`)
	d := newMemoryDisk(1)
	for name, fail := range map[string]func(string) error{
		"full":      func(name string) error { return map[string]error{"create": syscall.ENOSPC}[name] },
		"read only": func(string) error { return syscall.EROFS },
		"broken":    func(name string) error { return map[string]error{"sync": syscall.EIO}[name] },
	} {
		d.put(formerPath, former)
		d.Fail = fail
		_, err := journalOn(d).Load()
		require.ErrorContains(t, err, "write items", name)
		kept, err := d.ReadFile(formerPath)
		require.NoError(t, err)
		require.Equal(t, former, kept, name)
	}
	for content, reason := range map[string]string{"{": "is corrupt", "{}": "is corrupt", "7": "is corrupt"} {
		d = newMemoryDisk(1)
		d.put(formerPath, []byte(content))
		_, err := journalOn(d).Load()
		require.ErrorContains(t, err, reason)
		require.ErrorContains(t, err, formerPath)
		require.ErrorContains(t, err, "move the file away")
	}
}

func TestAMissingJournalIsFound(t *testing.T) {
	d, _, _ := damaged(t)
	delete(d.Files, itemsPath)
	_, err := journalOn(d).Load()
	require.ErrorContains(t, err, itemsPath+" is missing")
	require.ErrorContains(t, err, "move the file away")
	delete(d.Files, formerPath)
	assert.Empty(t, load(t, journalOn(d)), "both were moved away, as the remedy says")
}
