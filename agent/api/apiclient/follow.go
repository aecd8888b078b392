package apiclient

import (
	"context"
	"errors"
	"slices"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	"github.com/meshway/meshway/agent/api/apipb"
	"github.com/meshway/meshway/agent/rpc"
	"github.com/meshway/meshway/consensus/catalog"
)

// Bounds of the time between two attempts to connect.
const (
	minRetry = 100 * time.Millisecond
	maxRetry = 5 * time.Second
)

// Change is a change of one service, or a service of the first state.
type Change struct {
	Index   uint64 // of the catalog; that of the first state is the index at which it was read
	Deleted bool   // Item is the last one
	Item    *apipb.Item
}

// Follow calls handle with the services that request selects, and then with each of
// their changes, once and in order, until handle returns an error, ctx ends or a retry
// cannot help. It connects again when the connection or meshd ends, and continues where
// it was. If the history does not reach back, it compares the state with what it has, so
// that handle gets what has changed, and no deletion is missed of an item that handle
// got: of a request with an index, items from before it are not known. retry is called
// with the error before each further attempt; it may be nil.
func (c *Client) Follow(ctx context.Context, request *apipb.WatchRequest, handle func(Change) error, retry func(error)) error {
	s := &subscription{request: proto.CloneOf(request), handle: handle, known: map[key]*apipb.Item{}, deleted: map[key]bool{}}
	for pause := minRetry; ; pause = min(2*pause, maxRetry) {
		before := s.request.GetIndex()
		err := s.connect(ctx, c)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case s.failed != nil:
			return s.failed
		case isHistoryLost(err) && before > 0:
			s.request.Index = 0
			continue
		case isFinal(err):
			return err
		case s.request.GetIndex() > before:
			pause = minRetry
		}
		if retry != nil {
			retry(err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
	}
}

// isHistoryLost reports whether meshd no longer has the changes since the index. A meshd
// that has not reached the index refuses it with the same code of Connect.
func isHistoryLost(err error) bool {
	refusal, ok := errors.AsType[*catalog.Refusal](rpc.FromConnect(err))
	return ok && refusal.Code == "history-lost"
}

// isFinal reports whether another attempt would fail in the same way.
func isFinal(err error) bool {
	return slices.Contains([]connect.Code{
		connect.CodeInvalidArgument, connect.CodeUnauthenticated, connect.CodePermissionDenied, connect.CodeUnimplemented,
	}, connect.CodeOf(err))
}

// key identifies a service of one datacenter.
type key struct{ namespace, name, datacenter, instance string }

func keyOf(i *apipb.Item) key {
	if s := i.GetService(); s != nil {
		return key{s.GetNamespace(), s.GetName(), s.GetDatacenter(), s.GetInstance()}
	}
	e := i.GetExport().GetExport()
	return key{e.GetNamespace(), e.GetName(), e.GetDatacenter(), ""}
}

// subscription is the state of Follow.
type subscription struct {
	request *apipb.WatchRequest // index: all before it was handled
	handle  func(Change) error
	known   map[key]*apipb.Item
	deleted map[key]bool // whose deletion after the index was handled
	seen    map[key]bool // items of the state that is being received
	failed  error        // of handle
}

// connect receives until the stream ends or handle fails.
func (s *subscription) connect(ctx context.Context, c *Client) error {
	stream, err := c.Watch(ctx, connect.NewRequest(s.request))
	if err != nil {
		return err
	}
	defer stream.Close()
	s.seen = map[key]bool{}
	for stream.Receive() {
		if s.failed = s.receive(stream.Msg()); s.failed != nil {
			return s.failed
		}
	}
	if err := stream.Err(); err != nil {
		return err
	}
	return errors.New("the stream ended")
}

func (s *subscription) receive(r *apipb.WatchResponse) error {
	for _, c := range r.GetChanges() {
		k := keyOf(c.GetItem())
		s.seen[k] = true
		have := s.known[k]
		switch {
		case c.GetDeleted() && s.deleted[k], // it was handled before the connection ended
			!c.GetDeleted() && have.GetModifiedIndex() == c.GetItem().GetModifiedIndex() && proto.Equal(have, c.GetItem()):
			continue
		case c.GetDeleted():
			delete(s.known, k)
			s.deleted[k] = true
		default:
			s.known[k] = c.GetItem()
			delete(s.deleted, k)
		}
		if err := s.handle(Change{Index: max(r.GetIndex(), c.GetItem().GetModifiedIndex()), Deleted: c.GetDeleted(), Item: c.GetItem()}); err != nil {
			return err
		}
	}
	if r.GetState() && r.GetIndex() > 0 {
		for k, item := range s.known {
			if s.seen[k] {
				continue
			}
			delete(s.known, k)
			if err := s.handle(Change{Index: r.GetIndex(), Deleted: true, Item: item}); err != nil {
				return err
			}
		}
	}
	if r.GetIndex() > 0 {
		s.request.Index = r.GetIndex()
		clear(s.deleted)
	}
	return nil
}
