package kube

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/meshway/meshway/agent/notify"
	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/agent/state"
)

// The slice that the API server keeps of its own addresses. Its name is that of the Service.
const (
	serverNamespace = metav1.NamespaceDefault
	serverSlice     = "kubernetes"
)

const (
	serverInterval = time.Minute     // between two readings
	serverTimeout  = 5 * time.Second // of one
)

// APIServerConfig configures an APIServer.
type APIServerConfig struct {
	Client  kubernetes.Interface
	Server  string                                                       // host, host:port or a URL
	Resolve func(ctx context.Context, name string) ([]netip.Addr, error) // of a host name
	Dir     string                                                       // of the cache file
	Log     *slog.Logger
}

// APIServer returns the addresses that packets to the API server have: the one that clients
// connect to, and, since that may be the ClusterIP of a Service, those of its endpoints. It
// keeps the last ones while they cannot be read, and in a file: packets to one that is not
// kept local may enter a tunnel, and then none can be read.
type APIServer struct {
	cfg    APIServerConfig
	cache  state.File[[]netip.Addr]
	latest atomic.Pointer[[]netip.Addr] // sorted
	denied atomic.Pointer[plan.Problem] // nil: the endpoints may be read

	failed  LogOnce      // only Run uses it
	refused RefusalGrace // only Run uses it
}

// NewAPIServer returns an APIServer with the addresses of the last start, and the one in Server
// if that is no name.
func NewAPIServer(cfg APIServerConfig) (*APIServer, error) {
	s := &APIServer{cfg: cfg, cache: state.File[[]netip.Addr]{
		Path: filepath.Join(cfg.Dir, "apiserver.json"), What: "addresses of the API server", Remedy: "remove the file; the agent writes it again",
	}}
	list, _, err := s.cache.Load()
	if err != nil {
		return nil, err
	}
	if a, err := netip.ParseAddr(hostIn(cfg.Server)); err == nil {
		list = append(list, a.Unmap())
	}
	s.set(list)
	return s, nil
}

// Addresses returns the addresses of the API server, sorted.
func (s *APIServer) Addresses() []netip.Addr { return *s.latest.Load() }

func (s *APIServer) set(list []netip.Addr) {
	slices.SortFunc(list, netip.Addr.Compare)
	list = slices.Compact(list)
	s.latest.Store(&list)
}

// Problems returns the problem of a missing permission.
func (s *APIServer) Problems() []plan.Problem {
	if p := s.denied.Load(); p != nil {
		return []plan.Problem{*p}
	}
	return nil
}

// Run reads the addresses until ctx ends.
func (s *APIServer) Run(ctx context.Context) error {
	notify.Loop(ctx, func(ctx context.Context) time.Duration {
		err := s.read(ctx)
		if s.failed.IsNew(err) && ctx.Err() == nil {
			s.cfg.Log.Warn("failed to read the addresses of the API server: prefixes of other datacenters may take them over", "err", err)
		}
		return s.judge(err, time.Now())
	})
	return nil
}

// judge sets the problem that follows from err of a reading, and returns the time until the
// next one. An API server that starts refuses all requests; one that does not answer shows
// nothing.
func (s *APIServer) judge(err error, now time.Time) time.Duration {
	denied := apierrors.IsForbidden(err)
	wait := s.refused.Left(denied, now)
	switch {
	case err == nil:
		s.denied.Store(nil)
	case denied && wait == 0:
		s.denied.Store(&plan.Problem{
			Code: "api-server-unknown", Severity: plan.Warning, Subject: "kubernetes",
			Message: fmt.Sprintf("the endpoints of the API server cannot be read, so that prefixes of other datacenters may take over their addresses: %v", err),
			Remedy: "upgrade the chart, or add a rule to the ClusterRole of this service account: " +
				"apiGroups [discovery.k8s.io], resources [endpointslices], resourceNames [kubernetes], verbs [get]",
		})
	}
	if wait > 0 {
		return min(wait, serverInterval)
	}
	return serverInterval
}

// ReadFirst reads the addresses unless those of an earlier start are there, so that no pass
// routes packets to one of them to another datacenter.
func (s *APIServer) ReadFirst(ctx context.Context) error {
	if _, found, err := s.cache.Load(); found || err != nil {
		return err
	}
	return s.read(ctx)
}

// read reads the addresses. Those that it cannot read stay as they are.
func (s *APIServer) read(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, serverTimeout)
	defer cancel()
	server, failed := s.cfg.Resolve(ctx, hostIn(s.cfg.Server))
	endpoints, err := s.endpoints(ctx)
	before, list := s.Addresses(), slices.Concat(server, endpoints)
	if failed = errors.Join(failed, err); failed != nil || len(endpoints) == 0 { // a server that stops removes its own
		list = append(list, before...)
	}
	s.set(list)
	if slices.Equal(before, s.Addresses()) {
		return failed
	}
	return errors.Join(failed, s.cache.Save(s.Addresses()))
}

func (s *APIServer) endpoints(ctx context.Context) ([]netip.Addr, error) {
	slice, err := s.cfg.Client.DiscoveryV1().EndpointSlices(serverNamespace).Get(ctx, serverSlice, metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	var found []netip.Addr
	for _, e := range slice.Endpoints {
		for _, text := range e.Addresses {
			if a, err := netip.ParseAddr(text); err == nil {
				found = append(found, a.Unmap())
			}
		}
	}
	return found, nil
}

// hostIn returns the host in a host, a host:port or a URL.
func hostIn(server string) string {
	if u, err := url.Parse(server); err == nil && u.Host != "" {
		server = u.Host
	}
	if host, _, err := net.SplitHostPort(server); err == nil {
		server = host
	}
	return strings.Trim(server, "[]")
}
