package api

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"connectrpc.com/connect"

	"github.com/meshway/meshway/agent/api/apipb"
	"github.com/meshway/meshway/agent/api/apipb/apipbconnect"
	"github.com/meshway/meshway/agent/rpc"
	"github.com/meshway/meshway/consensus"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/feed"
	"github.com/meshway/meshway/consensus/catalog/replica"
)

// Member is the part of a member of the catalog that programs use.
type Member interface {
	// Read returns a view that is as current as mode requires.
	Read(ctx context.Context, mode consensus.ReadMode) (*replica.View, consensus.Freshness, error)
	// Feed returns the latest changes of the services.
	Feed() *feed.Feed
}

// Registrar is the part of the registrar of a gateway that programs use.
type Registrar interface {
	// Register registers a service; without a leader, queued is true.
	Register(ctx context.Context, s catalog.Service) (index uint64, queued bool, err error)
	// RegisterIf registers a service whose instance was last changed at index.
	RegisterIf(ctx context.Context, s catalog.Service, index uint64) (uint64, error)
	// Deregister removes instances; an empty instance matches all.
	Deregister(ctx context.Context, namespace, name, instance string) (removed int, queued bool, err error)
	// DeregisterIf removes an instance that was last changed at index.
	DeregisterIf(ctx context.Context, key catalog.ServiceKey, index uint64) error
	// Instance returns the record of a service that was registered, false if the catalog
	// does not have it yet.
	Instance(s catalog.Service) (catalog.Service, bool)
}

// maxRequest bounds a request in bytes.
const maxRequest = 1 << 20

// Bounds of the waiting of List, as in Consul.
const (
	defaultWait = 5 * time.Minute
	maxWait     = 10 * time.Minute
)

// Config configures what New returns.
type Config struct {
	Datacenter catalog.DatacenterName
	Member     func() (Member, error) // returns an error while this gateway is in no federation
	Registrar  func() (Registrar, error)
	Ended      <-chan struct{} // ends all that waits; nil: never
	Sentinels  rpc.Sentinels   // errors of Member that keep their identity
	Bookmarks  time.Duration   // between bookmarks; 0: 10 s
}

// New returns the handler of service Catalog, for its path.
func New(cfg Config) (path string, handler http.Handler) {
	if cfg.Bookmarks == 0 {
		cfg.Bookmarks = bookmarkInterval
	}
	path, handler = apipbconnect.NewCatalogHandler(&server{cfg: cfg, requests: newRequests(time.Now), listings: newListings()},
		connect.WithReadMaxBytes(maxRequest), connect.WithInterceptors(rpc.NewInterceptor(cfg.Sentinels, nil)), codecs(),
		connect.WithCompression("gzip", nil, nil)) // none: programs are on this host
	return path, new(openCalls).limit(bounded(handler))
}

type server struct {
	cfg      Config
	requests *requests
	listings listings
}

var _ apipbconnect.CatalogHandler = (*server)(nil)

// List returns services, at once or when one of them has changed.
func (s *server) List(ctx context.Context, r *connect.Request[apipb.ListRequest]) (*connect.Response[apipb.ListResponse], error) {
	filter, err := filterOf(r.Msg)
	if err != nil {
		return nil, err
	}
	mode, err := modeOf(r.Msg.GetRead())
	if err != nil {
		return nil, err
	}
	wait, err := waitOf(r.Msg)
	if err != nil {
		return nil, err
	}
	member, err := s.cfg.Member()
	if err != nil {
		return nil, err
	}
	if r.Msg.GetWaitIndex() > 0 {
		if err := s.await(ctx, member.Feed(), filter, r.Msg.GetWaitIndex(), wait); err != nil {
			return nil, err
		}
	}
	state, err := s.listings.read(ctx, member, mode, selected(filter))
	if err != nil {
		return nil, err
	}
	response := &apipb.ListResponse{Freshness: freshness(state.fresh)}
	for _, item := range state.items {
		response.Items = append(response.Items, itemProto(item))
	}
	limitSending(responseOf(ctx))
	return connect.NewResponse(response), nil
}

func waitOf(r *apipb.ListRequest) (time.Duration, error) {
	if r.GetWait() == nil {
		return defaultWait, nil
	}
	wait := r.GetWait().AsDuration()
	if wait < 0 || wait > maxWait {
		return 0, invalid("wait", fmt.Sprintf("%s is not between 0s and %s", wait, maxWait), `write a duration such as "30s"`)
	}
	return wait, nil
}

// await waits until a service that filter selects has changed after index, or for the
// given time. If the changes since then are not known, it does not wait.
func (s *server) await(ctx context.Context, f *feed.Feed, filter feed.Filter, index uint64, wait time.Duration) error {
	watcher, err := f.Watch(filter, index)
	if err != nil {
		return nil //nolint:nilerr // there may have been a change
	}
	defer watcher.Close()
	timer := time.NewTimer(wait)
	defer timer.Stop()
	for {
		batch, err := watcher.Next()
		if err != nil || len(batch.Changes) > 0 {
			return nil //nolint:nilerr // as above
		}
		select {
		case <-watcher.Changed():
		case <-timer.C:
			return nil
		case <-s.cfg.Ended:
			return errEnded()
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Get returns one service.
func (s *server) Get(ctx context.Context, r *connect.Request[apipb.GetRequest]) (*connect.Response[apipb.GetResponse], error) {
	key := feed.Key{
		Namespace: r.Msg.GetNamespace(), Name: r.Msg.GetName(),
		Datacenter: catalog.DatacenterName(r.Msg.GetDatacenter()), Instance: r.Msg.GetInstance(),
	}
	if key.Name == "" {
		return nil, invalid("name", "the name of the service is missing", "set name")
	}
	if key.Namespace == "" {
		key.Namespace = defaultNamespace
	}
	if key.Datacenter == "" {
		key.Datacenter = s.cfg.Datacenter
	}
	mode, err := modeOf(r.Msg.GetRead())
	if err != nil {
		return nil, err
	}
	member, err := s.cfg.Member()
	if err != nil {
		return nil, err
	}
	state, err := s.listings.read(ctx, member, mode, one(key))
	if err != nil {
		return nil, err
	}
	if len(state.items) == 0 {
		return nil, unknownService(key)
	}
	limitSending(responseOf(ctx))
	return connect.NewResponse(&apipb.GetResponse{Item: itemProto(state.items[0]), Freshness: freshness(state.fresh)}), nil
}
