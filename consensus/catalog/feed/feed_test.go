package feed_test

import (
	"bytes"
	"fmt"
	"runtime"
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/feed"
	"github.com/meshway/meshway/consensus/consensustest"
)

func TestAWatcherReadsEachChangeOnceInTheOrderOfTheLog(t *testing.T) {
	s := newState(t)
	s.apply(put("old"))
	w := s.watch(feed.Filter{}, s.index)
	s.apply(put("web"), put("api"))
	s.apply(put("web"), put("api")) // as they are
	s.apply(put("web", "changed"))
	s.apply(remove("web"), remove("never"))
	assert.Equal(t, []string{"3 put api", "3 put web", "5 put web", "6 del web"}, drain(t, w))
	assert.Empty(t, drain(t, w), "once")
}

func TestAWatcherContinuesAfterAnIndex(t *testing.T) {
	s := newState(t)
	s.apply(put("a"))
	from := s.apply(put("b"))
	s.apply(put("c"))
	assert.Equal(t, []string{"4 put c"}, drain(t, s.watch(feed.Filter{}, from)))
}

func TestAWatcherFromAMemberThatIsAheadIsSentNothingTwice(t *testing.T) {
	s := newState(t)
	w := s.watch(feed.Filter{}, s.index+2) // it has what this member gets next
	s.apply(put("a"))
	s.apply(put("b"))
	assert.Empty(t, drain(t, w))
	s.apply(put("c"))
	assert.Equal(t, []string{"4 put c"}, drain(t, w))
}

func TestAFilterSelectsByNameAndLabels(t *testing.T) {
	s := newState(t)
	selector, err := feed.ParseSelector("new")
	require.NoError(t, err)
	byName := s.watch(feed.Filter{Namespace: "test", Name: "web"}, s.index)
	byLabel := s.watch(feed.Filter{Labels: selector}, s.index)
	elsewhere := s.watch(feed.Filter{Datacenter: "dc1"}, s.index)
	s.apply(put("web"), put("api", "new"))
	s.apply(put("web", "new"), put("api"))
	assert.Equal(t, []string{"2 put web", "3 put web"}, drain(t, byName))
	assert.Equal(t, []string{"2 put api", "3 del api", "3 put web"}, drain(t, byLabel), "what is no longer selected is deleted")
	assert.Empty(t, drain(t, elsewhere))
}

func TestAnExportChangesWithItsEndpoints(t *testing.T) {
	s := newState(t)
	w := s.watch(feed.Filter{}, s.index)
	s.apply(putExport("web"), putEndpoints("web", false))
	s.apply(putEndpoints("web", true))
	b, err := w.Next()
	require.NoError(t, err)
	require.Len(t, b.Changes, 1)
	assert.False(t, b.Changes[0].After.Export.Slices[0].Endpoints[0].Ready)
	b, err = w.Next()
	require.NoError(t, err)
	require.Len(t, b.Changes, 1)
	assert.True(t, b.Changes[0].After.Export.Slices[0].Endpoints[0].Ready)
	assert.False(t, b.Changes[0].Before.Export.Slices[0].Endpoints[0].Ready)
	assert.Equal(t, s.index, b.Changes[0].After.ModifiedIndex())
	s.apply(catalog.NewDeleteExports([]catalog.ExportKey{exportKey("web")}))
	assert.Equal(t, []string{"4 del web"}, drain(t, w))
}

func TestASlowWatcherLosesTheHistoryAndIsRefusedWhenItContinues(t *testing.T) {
	s := newState(t)
	w := s.watch(feed.Filter{}, s.index)
	from := s.index
	s.fill(10_000, func(i int) consensustest.Command { return put("web" + strconv.Itoa(i)) })
	_, err := w.Next()
	var lost *feed.LostError
	require.ErrorAs(t, err, &lost)
	assert.Equal(t, &feed.LostError{After: from, Index: s.index}, lost)
	_, err = s.feed.Watch(feed.Filter{}, from)
	require.ErrorAs(t, err, &lost)
}

// Otherwise each watcher of a quiet service would have to read all of the log.
func TestAWatcherOfOneServiceLosesNothingWhileOthersChange(t *testing.T) {
	s := newState(t)
	quiet := s.watch(feed.Filter{Namespace: "test", Name: "quiet"}, s.index)
	s.fill(10_000, func(i int) consensustest.Command { return put("web" + strconv.Itoa(i)) })
	select {
	case <-quiet.Changed():
		require.Fail(t, "the changes of others wake it")
	default:
	}
	s.apply(put("quiet"))
	<-quiet.Changed()
	assert.Equal(t, []string{fmt.Sprintf("%d put quiet", s.index)}, drain(t, quiet))
	s.fill(10_000, func(i int) consensustest.Command { return put("web"+strconv.Itoa(i), "again") })
	b, err := quiet.Next()
	require.NoError(t, err)
	assert.Equal(t, feed.Batch{Index: s.index}, b, "the index from which another watcher continues")
}

func TestSlowWatchersHoldNoMemory(t *testing.T) {
	grown := func(watchers int) uint64 {
		s := newState(t)
		for range watchers {
			s.watch(feed.Filter{}, s.index)
		}
		// More than the history has.
		s.fill(10_000, func(i int) consensustest.Command { return put("web"+strconv.Itoa(i%50), strconv.Itoa(i)) })
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		runtime.KeepAlive(s)
		return m.HeapAlloc
	}
	none := grown(0)
	many := grown(1000)
	assert.Less(t, many, none+2<<20, "1,000 watchers that read nothing of 10,000 changes")
}

func TestARestoredSnapshotIsItsDifferencesForItsWatchers(t *testing.T) {
	source := newState(t)
	source.apply(put("kept"), put("changed"), put("deleted"))
	s := newState(t)
	s.apply(put("kept"), put("changed"), put("deleted"))
	for range 10 {
		source.apply(put("new"))
		source.apply(remove("new"))
	}
	source.apply(put("new"), putExport("shop"), remove("deleted"))
	source.apply(put("changed", "later"))
	w := s.watch(feed.Filter{}, s.index)
	ahead := s.watch(feed.Filter{}, source.index-1) // was at another member
	require.NoError(t, s.state.Restore(bytes.NewReader(source.snapshot())))
	s.index = source.index
	assert.Equal(t, []string{"24 put changed", "24 del deleted", "24 put new", "24 put shop"}, drain(t, w))
	var lost *feed.LostError
	_, err := ahead.Next()
	require.ErrorAs(t, err, &lost, "it has some of the differences")
	_, err = s.feed.Watch(feed.Filter{}, source.index-1)
	require.ErrorAs(t, err, &lost)
	next := s.watch(feed.Filter{}, source.index)
	s.apply(put("after"))
	assert.Equal(t, []string{"25 put after"}, drain(t, next))
	assert.Equal(t, []string{"25 put after"}, drain(t, w))
}

func TestListReturnsServicesAndExportsInOneOrder(t *testing.T) {
	s := newState(t)
	s.apply(put("web"), put("api"), putExport("shop"), putEndpoints("shop", true))
	var names []string
	for _, i := range feed.List(s.state.View(), feed.Filter{}) {
		names = append(names, i.Key().Name)
	}
	assert.Equal(t, []string{"api", "shop", "web"}, names)
	item, found := feed.Get(s.state.View(), feed.Key{Namespace: "test", Name: "shop", Datacenter: "dc0"})
	require.True(t, found)
	assert.Len(t, item.Export.Slices, 1)
	_, found = feed.Get(s.state.View(), feed.Key{Namespace: "test", Name: "shop", Datacenter: "dc0", Instance: "one"})
	assert.False(t, found)
}

func TestSelectorsSelectByEqualityAndExistence(t *testing.T) {
	labels := map[string]string{"app": "web", "tier": "front"}
	for text, want := range map[string]bool{
		"": true, "app=web": true, "app==web": true, "app=api": false, "app!=api": true, "app!=web": false,
		"app": true, "!app": false, "zone": false, "!zone": true, "zone!=a": true, "app=web, tier=front": true, "app=web,tier=back": false,
	} {
		s, err := feed.ParseSelector(text)
		require.NoError(t, err, text)
		assert.Equal(t, want, s.Matches(labels), text)
	}
	for _, text := range []string{",", "=web", "app in (web)", "!"} {
		_, err := feed.ParseSelector(text)
		assert.Error(t, err, text)
	}
}

func FuzzParseSelector(f *testing.F) {
	f.Add("app=web,tier!=back,zone,!old")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := feed.ParseSelector(text)
		if err == nil {
			s.Matches(map[string]string{text: text})
		}
	})
}
