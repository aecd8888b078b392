package api

import (
	"context"
	"errors"
	"net/http"
	"time"

	"connectrpc.com/connect"

	"github.com/meshway/meshway/agent/api/apipb"
	"github.com/meshway/meshway/consensus"
	"github.com/meshway/meshway/consensus/catalog/feed"
)

const (
	// bookmarkInterval is the time between bookmarks while nothing is sent that the
	// program selects.
	bookmarkInterval = 10 * time.Second
	// sendTimeout is how long a program may not read what is sent to it.
	sendTimeout = 30 * time.Second
	// stateTimeout is how long a program may take to read the first state. The state stays
	// in memory until then.
	stateTimeout = 5 * time.Minute
	// maxChanges is how many changes one response has.
	maxChanges = 256
)

// Watch sends the first state, unless the program continues from an index, and then the
// changes. It holds the response that it sends, and no others.
func (s *server) Watch(ctx context.Context, r *connect.Request[apipb.WatchRequest], stream *connect.ServerStream[apipb.WatchResponse]) error {
	filter, err := filterOf(r.Msg)
	if err != nil {
		return err
	}
	mode, err := modeOf(r.Msg.GetRead())
	if err != nil {
		return err
	}
	member, err := s.cfg.Member()
	if err != nil {
		return err
	}
	out, from := sender{stream: stream, response: responseOf(ctx)}, r.Msg.GetIndex()
	if from == 0 {
		from, err = s.first(ctx, member, mode, filter, out)
	} else {
		err = checkIndex(ctx, member, mode, from)
	}
	if err != nil {
		return err
	}
	watcher, err := member.Feed().Watch(filter, from)
	if err != nil {
		return lostOr(err)
	}
	defer watcher.Close()
	return s.follow(ctx, member, watcher, out)
}

// first sends the first state, and returns its index.
func (s *server) first(ctx context.Context, member Member, mode consensus.ReadMode, filter feed.Filter, out sender) (uint64, error) {
	state, err := s.listings.read(ctx, member, mode, selected(filter))
	if err != nil {
		return 0, err
	}
	defer grantOf(ctx).release()
	return state.index, out.state(state.items, state.index)
}

// checkIndex refuses to continue from an index that the catalog does not have.
func checkIndex(ctx context.Context, member Member, mode consensus.ReadMode, from uint64) error {
	view, _, err := member.Read(ctx, mode)
	if err == nil && from > view.Index() {
		err = indexAhead(from, view.Index())
	}
	return err
}

// follow sends what watcher reads until the call, the membership or meshd ends.
func (s *server) follow(ctx context.Context, member Member, watcher *feed.Watcher, out sender) error {
	bookmarks := time.NewTicker(s.cfg.Bookmarks)
	defer bookmarks.Stop()
	due := false
	for {
		batch, err := watcher.Next()
		if err != nil {
			return lostOr(err)
		}
		if len(batch.Changes) > 0 || due {
			if err := out.changes(batch); err != nil {
				return err
			}
			due = false
			continue
		}
		select {
		case <-watcher.Changed():
		case <-bookmarks.C:
			if now, err := s.cfg.Member(); err != nil || now != member {
				return errEnded()
			}
			due = true
		case <-s.cfg.Ended:
			return errEnded()
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// lostOr converts a *feed.LostError.
func lostOr(err error) error {
	if lost, ok := errors.AsType[*feed.LostError](err); ok {
		return historyLost(lost)
	}
	return err
}

// sender sends responses, each within sendTimeout.
type sender struct {
	stream   *connect.ServerStream[apipb.WatchResponse]
	response *http.ResponseController // nil: without a timeout
}

// state sends the first state.
func (s sender) state(items []*feed.Item, index uint64) error {
	end := time.Now().Add(stateTimeout)
	changes := make([]*apipb.Change, 0, min(len(items), maxChanges))
	for i, item := range items {
		changes = append(changes, &apipb.Change{Item: itemProto(item)})
		if len(changes) == maxChanges && i+1 < len(items) {
			if err := s.send(&apipb.WatchResponse{Changes: changes, State: true}); err != nil {
				return err
			}
			if time.Now().After(end) {
				return tooSlow()
			}
			changes = changes[:0]
		}
	}
	return s.send(&apipb.WatchResponse{Changes: changes, State: true, Index: index})
}

// changes sends a batch; without changes, it is a bookmark.
func (s sender) changes(b feed.Batch) error {
	var changes []*apipb.Change
	for i, c := range b.Changes {
		changes = append(changes, changeProto(c))
		if len(changes) == maxChanges && i+1 < len(b.Changes) {
			if err := s.send(&apipb.WatchResponse{Changes: changes}); err != nil {
				return err
			}
			changes = changes[:0]
		}
	}
	return s.send(&apipb.WatchResponse{Changes: changes, Index: b.Index})
}

func (s sender) send(response *apipb.WatchResponse) error {
	limitSending(s.response)
	defer unlimitSending(s.response) // the timer would end an idle call over HTTP/2
	return s.stream.Send(response)
}

// limitSending ends the connection of a program that does not read the next answer. A
// response without deadlines, or nil, is that of a test.
func limitSending(response *http.ResponseController) {
	if response != nil {
		_ = response.SetWriteDeadline(time.Now().Add(sendTimeout))
	}
}

// unlimitSending ends the effect of limitSending.
func unlimitSending(response *http.ResponseController) {
	if response != nil {
		_ = response.SetWriteDeadline(time.Time{})
	}
}

// responseKey is the key of the *http.ResponseController of a call in its context.
type responseKey struct{}

// bounded gives the calls of handler access to the deadline of their connection, which
// Connect hides.
func bounded(handler http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		control := http.NewResponseController(w)
		handler.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), responseKey{}, control)))
		unlimitSending(control) // the connection may carry other calls
	})
}

func responseOf(ctx context.Context) *http.ResponseController {
	control, _ := ctx.Value(responseKey{}).(*http.ResponseController)
	return control
}
