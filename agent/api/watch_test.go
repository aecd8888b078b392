package api_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/agent/api"
	"github.com/meshway/meshway/agent/api/apipb"
	"github.com/meshway/meshway/agent/api/apipb/apipbconnect"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/consensustest"
)

// stream is a watch of the values of registers.
type stream struct {
	t      testing.TB
	stream *connect.ServerStreamForClient[apipb.WatchResponse]
	index  uint64
	states int
}

func (d *door) watch(r *apipb.WatchRequest) *stream {
	d.t.Helper()
	ctx, cancel := context.WithCancel(d.t.Context())
	d.t.Cleanup(cancel)
	s, err := d.catalog().Watch(ctx, connect.NewRequest(r))
	require.NoError(d.t, err)
	return &stream{t: d.t, stream: s}
}

// next returns the changes of the next response, "web=1" or "-web"; none of a bookmark.
func (s *stream) next() []string {
	s.t.Helper()
	require.True(s.t, s.stream.Receive(), s.stream.Err())
	var changes []string
	for _, c := range s.stream.Msg().GetChanges() {
		service := c.GetItem().GetService()
		text := service.GetName() + "=" + service.GetLabels()["value"]
		if c.GetDeleted() {
			text = "-" + service.GetName()
		}
		changes = append(changes, text)
	}
	if s.stream.Msg().GetState() {
		s.states++
	}
	s.index = max(s.index, s.stream.Msg().GetIndex())
	return changes
}

// until returns all changes up to and with the last one.
func (s *stream) until(last string) []string {
	s.t.Helper()
	var all []string
	for !slices.Contains(all, last) {
		all = append(all, s.next()...)
	}
	return all
}

func TestWatchSendsTheStateAndThenEachChangeOnce(t *testing.T) {
	t.Parallel()
	c := consensustest.New(t, 3, consensustest.Options{})
	web := consensustest.Key{Owner: c.Members[0].ID, Name: "web"}
	db := consensustest.Key{Owner: c.Members[0].ID, Name: "db"}
	write(t, c.Members[0], web.Set("0"))
	write(t, c.Members[0], db.Set("0"))
	s := serve(t, c.Members[1], nil).watch(&apipb.WatchRequest{})
	assert.Equal(t, []string{"db=0", "web=0"}, s.next())
	assert.Equal(t, 1, s.states)
	for i := 1; i <= 3; i++ {
		write(t, c.Members[0], web.Set(fmt.Sprint(i)))
	}
	write(t, c.Members[0], remove(web))
	assert.Equal(t, []string{"web=1", "web=2", "web=3", "-web"}, s.until("-web"))
	assert.Equal(t, 1, s.states)

	// A program continues at another gateway.
	write(t, c.Members[0], db.Set("1"))
	resumed := serve(t, c.Members[2], nil).watch(&apipb.WatchRequest{Index: s.index})
	assert.Equal(t, []string{"db=1"}, resumed.until("db=1"))
	assert.Zero(t, resumed.states)
}

func TestBookmarksRiseWithTheCatalog(t *testing.T) {
	t.Parallel()
	c := consensustest.New(t, 1, consensustest.Options{})
	s := serve(t, c.Members[0], nil).watch(&apipb.WatchRequest{Name: "none", Namespace: "test"})
	assert.Empty(t, s.next(), "the state is empty")
	assert.Equal(t, 1, s.states)
	index := write(t, c.Members[0], consensustest.Key{Owner: c.Members[0].ID, Name: "web"}.Set("0"))
	for s.index < index {
		assert.Empty(t, s.next())
	}
}

func TestALargeStateIsSentInParts(t *testing.T) {
	t.Parallel()
	c := consensustest.New(t, 1, consensustest.Options{})
	for i := range 600 {
		write(t, c.Members[0], consensustest.Key{Owner: c.Members[0].ID, Name: fmt.Sprintf("web%03d", i)}.Set("1"))
	}
	s := serve(t, c.Members[0], nil).watch(&apipb.WatchRequest{})
	assert.Len(t, s.next(), 256)
	assert.Zero(t, s.index, "the state is not complete")
	assert.Len(t, s.until("web599=1"), 600-256)
	assert.NotZero(t, s.index)
	assert.Equal(t, 3, s.states)
}

func TestWatchIsRefusedWhereItCannotContinue(t *testing.T) {
	t.Parallel()
	c := consensustest.New(t, 1, consensustest.Options{})
	d := serve(t, c.Members[0], nil)
	for name, test := range map[string]struct {
		request *apipb.WatchRequest
		code    connect.Code
		refusal string
	}{
		"ahead":    {&apipb.WatchRequest{Index: 1 << 40}, connect.CodeOutOfRange, api.CodeIndexAhead},
		"labels":   {&apipb.WatchRequest{Labels: "a in (b)"}, connect.CodeInvalidArgument, api.CodeInvalidArgument},
		"readmode": {&apipb.WatchRequest{Read: "x"}, connect.CodeInvalidArgument, api.CodeInvalidArgument},
	} {
		t.Run(name, func(t *testing.T) {
			s := d.watch(test.request)
			require.False(t, s.stream.Receive())
			code, r := refusal(t, s.stream.Err())
			assert.Equal(t, test.code, code)
			assert.Equal(t, test.refusal, r.Code)
		})
	}
}

func TestWatchesEndWhenMeshdEnds(t *testing.T) {
	t.Parallel()
	c := consensustest.New(t, 1, consensustest.Options{})
	ended := make(chan struct{})
	s := serve(t, c.Members[0], ended).watch(&apipb.WatchRequest{})
	s.next()
	close(ended)
	for s.stream.Receive() { // bookmarks
	}
	code, r := refusal(t, s.stream.Err())
	assert.Equal(t, connect.CodeUnavailable, code)
	assert.Equal(t, api.CodeEnded, r.Code)
}

// BenchmarkOneChangeFor10000Watchers measures the time until a change has reached its
// watchers over unix sockets: all watch all services, or each watches its own.
func BenchmarkOneChangeFor10000Watchers(b *testing.B) {
	const watchers, perConnection = 10_000, 100
	for _, own := range []bool{true, false} {
		b.Run(fmt.Sprintf("own=%v", own), func(b *testing.B) {
			c := consensustest.New(b, 1, consensustest.Options{})
			d := serveWith(b, c.Members[0], nil, 0)
			arrived := make(chan time.Time, watchers)
			var ready sync.WaitGroup
			var client apipbconnect.CatalogClient
			for i := range watchers {
				if i%perConnection == 0 {
					client = apipbconnect.NewCatalogClient(d.multiplexed(), "http://meshd")
				}
				request := &apipb.WatchRequest{Read: "stale"}
				if own {
					request.Namespace, request.Name = "test", fmt.Sprintf("web%d", i)
				}
				ready.Add(1)
				go func() {
					s, err := client.Watch(b.Context(), connect.NewRequest(request))
					for first := true; err == nil && s.Receive(); {
						if first {
							ready.Done()
							first = false
						} else if len(s.Msg().GetChanges()) > 0 {
							arrived <- time.Now()
						}
					}
				}()
			}
			ready.Wait()
			var times []time.Duration
			for i := 0; b.Loop(); i++ {
				key := consensustest.Key{Owner: c.Members[0].ID, Name: fmt.Sprintf("web%d", i%watchers)}
				changed := c.Members[0].Node.Changed()
				go func() { _, _ = c.Members[0].Node.Propose(context.Background(), key.Set(fmt.Sprint(i))) }()
				<-changed
				visible := time.Now()
				reached := watchers
				if own {
					reached = 1
				}
				for range reached {
					times = append(times, (<-arrived).Sub(visible))
				}
			}
			slices.Sort(times)
			b.ReportMetric(float64(times[len(times)*99/100].Microseconds())/1000, "p99-ms")
			b.ReportMetric(float64(times[len(times)/2].Microseconds())/1000, "median-ms")
		})
	}
}

func TestAnExportIsListedAndWatchedWithItsDatacenter(t *testing.T) {
	t.Parallel()
	c := consensustest.New(t, 1, consensustest.Options{})
	dc := c.Members[0].ID.Datacenter()
	export := catalog.Export{
		ExportKey: catalog.ExportKey{Datacenter: dc, Namespace: "shop", Name: "cart"}, Type: catalog.ClusterSetIP,
		Ports:           []catalog.ExportPort{{Name: "http", Protocol: "tcp", Number: 80}},
		SessionAffinity: catalog.NoSessionAffinity, Affinity: catalog.AffinityNone, CreatedAt: time.Now(),
	}
	d := serve(t, c.Members[0], nil)
	changes := d.watch(&apipb.WatchRequest{Namespace: "shop"})
	assert.Empty(t, changes.next(), "the state")
	write(t, c.Members[0], catalog.NewPutExports([]catalog.Export{export}))
	listed, err := d.catalog().List(t.Context(), connect.NewRequest(&apipb.ListRequest{Namespace: "shop"}))
	require.NoError(t, err)
	require.Len(t, listed.Msg.GetItems(), 1)
	assert.Equal(t, string(dc), listed.Msg.GetItems()[0].GetExport().GetExport().GetDatacenter())
	for len(changes.next()) == 0 { // a bookmark
	}
	watched := changes.stream.Msg().GetChanges()
	require.Len(t, watched, 1)
	assert.Equal(t, "cart", watched[0].GetItem().GetExport().GetExport().GetName())
	assert.Equal(t, string(dc), watched[0].GetItem().GetExport().GetExport().GetDatacenter())
}
