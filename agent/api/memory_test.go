package api_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/meshway/meshway/agent/api"
	"github.com/meshway/meshway/consensus"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/feed"
	"github.com/meshway/meshway/consensus/catalog/replica"
	"github.com/meshway/meshway/consensus/consensustest"
)

// copyOf is a member that serves a copy of a catalog.
type copyOf struct{ state *replica.State }

func (c copyOf) Read(context.Context, consensus.ReadMode) (*replica.View, consensus.Freshness, error) {
	return c.state.View(), consensus.Freshness{}, nil
}

func (copyOf) Feed() *feed.Feed { return nil }

// newCatalog returns a catalog of one datacenter, and what applies commands of its gateway.
func newCatalog(t *testing.T) (*replica.State, func(...consensustest.Command)) {
	t.Helper()
	state, index := replica.New(), uint64(10)
	apply := func(commands ...consensustest.Command) {
		for _, cmd := range commands {
			cmd.Author, cmd.At = "dc0/gw0", timestamppb.Now()
		}
		index++
		data, err := catalog.Marshal(commands...)
		require.NoError(t, err)
		results, err := state.Apply(index, data)
		require.NoError(t, err)
		for _, r := range results {
			require.Nil(t, r.Refusal)
		}
	}
	apply(consensustest.NewInit("dc0", "gw0"))
	return state, apply
}

// exporting returns a catalog with one export that has slices of endpoints.
func exporting(t *testing.T, slices, perSlice int) *replica.State {
	t.Helper()
	state, apply := newCatalog(t)
	e := catalog.Export{
		ExportKey: catalog.ExportKey{Datacenter: "dc0", Namespace: "default", Name: "shop"}, Type: catalog.ClusterSetIP,
		SessionAffinity: catalog.NoSessionAffinity, Affinity: catalog.AffinityNone, CreatedAt: time.Now(),
	}
	apply(catalog.NewPutExports([]catalog.Export{e}))
	address := netip.MustParseAddr("10.0.0.1")
	for i := range slices {
		s := catalog.EndpointSlice{EndpointSliceKey: catalog.EndpointSliceKey{ExportKey: e.ExportKey, Slice: fmt.Sprint("s", i)}}
		for range perSlice {
			s.Endpoints = append(s.Endpoints, catalog.Endpoint{Address: address, Ready: true, Zone: "zone"})
			address = address.Next()
		}
		apply(catalog.NewPutEndpoints([]catalog.EndpointSlice{s}))
	}
	return state
}

// large returns a catalog in which one datacenter has count services with the most labels.
func large(t *testing.T, count int) *replica.State {
	t.Helper()
	state, apply := newCatalog(t)
	labels := map[string]string{}
	for i := range 64 {
		labels[fmt.Sprintf("label-%02d", i)] = strings.Repeat("v", 30)
	}
	set := consensustest.Key{Owner: "dc0/gw0", Name: "web"}.Set("v")
	like, err := catalog.ServiceFromProto(set.GetPutServices().GetServices()[0])
	require.NoError(t, err)
	for n := 0; n < count; {
		var services []catalog.Service
		for range min(10, count-n) {
			like.Instance, like.Labels = fmt.Sprint("i", n), labels
			services = append(services, like)
			n++
		}
		apply(catalog.NewPutServices(services))
	}
	return state
}

// slow is a program that reads nothing before it is released.
type slow struct {
	*httptest.ResponseRecorder
	release <-chan struct{}
	began   func()
	size    int
}

func (s *slow) Write(data []byte) (int, error) {
	s.began()
	<-s.release
	s.size += len(data)
	return len(data), nil
}

func heap() int {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc) //nolint:gosec // below 2^63
}

func TestParallelListsTakeBoundedMemory(t *testing.T) {
	const count = 2_000
	state := large(t, count)
	for content, body := range map[string]string{"application/json": "{}", "application/proto": ""} {
		t.Run(content, func(t *testing.T) {
			call{procedure: "List", content: content, body: body, callers: 16, most: 32 << 20, least: count * 64 * 30}.run(t, state)
		})
	}
}

// An export may have as many endpoints as its datacenter may have in all.
func TestParallelGetsTakeBoundedMemory(t *testing.T) {
	const slices, perSlice = 64, 200
	state := exporting(t, slices, perSlice)
	call{
		procedure: "Get", content: "application/json", body: `{"name":"shop","namespace":"default"}`, callers: 128, most: 32 << 20, least: slices * perSlice * 20,
	}.run(t, state)
}

// call is one that many callers make at a time, of which none reads the answer.
type call struct {
	procedure, content, body string
	callers                  int
	most                     int // bytes that all of them hold
	least                    int // bytes of an answer
}

func (c call) run(t *testing.T, state *replica.State) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		_, handler := api.New(api.Config{
			Datacenter: "dc0", Member: func() (api.Member, error) { return copyOf{state}, nil },
		})
		release := make(chan struct{})
		began, answers := make([]atomic.Bool, c.callers), make([]*slow, c.callers)
		cancels := make([]context.CancelFunc, c.callers)
		var running sync.WaitGroup
		before := heap()
		for i := range c.callers {
			answers[i] = &slow{ResponseRecorder: httptest.NewRecorder(), release: release, began: func() { began[i].Store(true) }}
			ctx, cancel := context.WithCancel(t.Context())
			cancels[i] = cancel
			running.Go(func() {
				request := httptest.NewRequestWithContext(ctx, http.MethodPost, "/meshway.catalog.v1.Catalog/"+c.procedure, strings.NewReader(c.body))
				request.Header.Set("Content-Type", c.content)
				handler.ServeHTTP(answers[i], request)
			})
		}
		synctest.Wait()
		held := heap() - before
		assert.Less(t, held, c.most)
		// Those that wait do so in a queue. The first of them are answered after those
		// that have begun; that the others are would take a minute.
		served, waiting := 0, 2
		for i := range answers {
			switch {
			case began[i].Load():
				served++
			case waiting > 0:
				waiting--
			default:
				cancels[i]()
				answers[i] = nil
			}
		}
		t.Logf("%d of %d calls hold %d MiB", served, c.callers, held>>20)
		assert.Positive(t, served)
		assert.Zero(t, waiting, "some calls wait")
		synctest.Wait()
		close(release)
		running.Wait()
		for i, a := range answers {
			cancels[i]()
			if a != nil {
				require.Equal(t, http.StatusOK, a.Code)
				require.Greater(t, a.size, c.least, "all is in it")
			}
		}
	})
}
