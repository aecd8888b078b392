package feed_test

import (
	"bytes"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/feed"
	"github.com/meshway/meshway/consensus/catalog/replica"
	"github.com/meshway/meshway/consensus/consensustest"
)

const owner = catalog.GatewayID("dc0/gw0")

// state is a replica with its feed.
type state struct {
	t     testing.TB
	state *replica.State
	feed  *feed.Feed
	index uint64
}

func newState(t testing.TB) *state {
	t.Helper()
	s := &state{t: t, state: replica.New(), feed: feed.New()}
	s.state.Observe(s.feed.Observe)
	init := consensustest.NewInit("dc0", "gw0")
	init.Author = string(owner)
	s.apply(init)
	return s
}

// apply applies commands as one entry and returns its index.
func (s *state) apply(cmds ...consensustest.Command) uint64 {
	s.t.Helper()
	s.index++
	for _, cmd := range cmds {
		cmd.Author = string(owner)
		cmd.At = timestamppb.New(time.Unix(1_800_000_000, 0))
	}
	entry, err := catalog.Marshal(cmds...)
	require.NoError(s.t, err)
	results, err := s.state.Apply(s.index, entry)
	require.NoError(s.t, err)
	for _, r := range results {
		require.Nil(s.t, r.Refusal)
	}
	return s.index
}

// fill applies n commands, 50 in an entry.
func (s *state) fill(n int, command func(i int) consensustest.Command) {
	s.t.Helper()
	for i := 0; i < n; {
		var cmds []consensustest.Command
		for ; len(cmds) < 50 && i < n; i++ {
			cmds = append(cmds, command(i))
		}
		s.apply(cmds...)
	}
}

func (s *state) snapshot() []byte {
	var b bytes.Buffer
	require.NoError(s.t, s.state.View().Encode(&b))
	return b.Bytes()
}

func (s *state) watch(f feed.Filter, after uint64) *feed.Watcher {
	s.t.Helper()
	w, err := s.feed.Watch(f, after)
	require.NoError(s.t, err)
	s.t.Cleanup(w.Close)
	return w
}

func key(name string) catalog.ServiceKey {
	return catalog.ServiceKey{Datacenter: "dc0", Namespace: "test", Name: name, Instance: "one"}
}

func put(name string, labels ...string) consensustest.Command {
	s := catalog.Service{ServiceKey: key(name), Owner: owner, Address: netip.MustParseAddr("10.0.0.1"), Labels: map[string]string{}}
	for _, l := range labels {
		s.Labels[l] = "yes"
	}
	return catalog.NewPutServices([]catalog.Service{s})
}

func remove(name string) consensustest.Command {
	return catalog.NewDeleteServices([]catalog.ServiceKey{key(name)})
}

func exportKey(name string) catalog.ExportKey {
	return catalog.ExportKey{Datacenter: "dc0", Namespace: "test", Name: name}
}

func putExport(name string) consensustest.Command {
	return catalog.NewPutExports([]catalog.Export{{
		ExportKey: exportKey(name), Type: catalog.ClusterSetIP, SessionAffinity: catalog.NoSessionAffinity,
		Affinity: catalog.AffinityNone, CreatedAt: time.Unix(1_700_000_000, 0), Labels: map[string]string{"app": name},
	}})
}

func putEndpoints(name string, ready bool) consensustest.Command {
	return catalog.NewPutEndpoints([]catalog.EndpointSlice{{
		EndpointSliceKey: catalog.EndpointSliceKey{ExportKey: exportKey(name), Slice: "a"},
		Endpoints:        []catalog.Endpoint{{Address: netip.MustParseAddr("10.0.0.1"), Ready: ready}},
	}})
}

// describe returns the changes of a batch as "5 put web" and "6 del web".
func describe(b feed.Batch) []string {
	var texts []string
	for _, c := range b.Changes {
		what, item := "put", c.After
		if c.Deleted {
			what, item = "del", c.Before
		}
		texts = append(texts, fmt.Sprintf("%d %s %s", b.Index, what, item.Key().Name))
	}
	return texts
}

// drain reads all that w has now.
func drain(t testing.TB, w *feed.Watcher) []string {
	t.Helper()
	var texts []string
	for {
		b, err := w.Next()
		require.NoError(t, err)
		if len(b.Changes) == 0 {
			return texts
		}
		texts = append(texts, describe(b)...)
	}
}
