package meshnode

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"reflect"
	"slices"
	"time"

	"k8s.io/client-go/dynamic"

	"github.com/meshway/meshway/agent/dataplane"
	"github.com/meshway/meshway/agent/kube"
	"github.com/meshway/meshway/agent/notify"
	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/agent/state"
	"github.com/meshway/meshway/tunnel"
)

// Cluster is the site without node tunnels. *kube.Discovery implements it.
type Cluster interface {
	dataplane.Site
	// Nodes returns the nodes of the cluster, sorted by name.
	Nodes() []kube.Node
}

// SiteConfig configures a Site.
type SiteConfig struct {
	Client  dynamic.Interface
	Cluster Cluster
	Node    string       // name of the own Node
	Gateway string       // name of this gateway
	Dir     string       // of the cache file
	Log     *slog.Logger // nil: discarded
}

// Site is the site of a cluster with the nodes that have a tunnel to this gateway.
type Site struct {
	cfg     SiteConfig
	objects *kube.Objects[MeshNode]
	cache   state.File[map[string]Spec]
	cached  map[string]Spec // content of the cache file, by name of the node
	wake    notify.Signal
	latest  notify.Latest[plan.Site]
	refused kube.RefusalGrace // only Run uses it
}

var _ dataplane.Site = (*Site)(nil)

// NewSite returns a site that has the nodes of the cache file until it runs.
func NewSite(cfg SiteConfig) (*Site, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	s := &Site{
		cfg:   cfg,
		cache: state.File[map[string]Spec]{Path: filepath.Join(cfg.Dir, "meshnodes.json"), What: "cached MeshNode objects"},
		wake:  notify.NewSignal(),
	}
	if specs, found, _ := s.cache.Load(); found {
		s.cached = specs
	}
	s.useCache()
	var err error
	s.objects, err = kube.NewObjects(cfg.Client, Kind(), "", s.wake)
	return s, err
}

// Run reads until ctx ends.
func (s *Site) Run(ctx context.Context) error {
	defer s.objects.Start(ctx)()
	notify.Loop(ctx, s.pass, s.cfg.Cluster.Changed, s.wake.Changed)
	return nil
}

// pass reads the objects and returns the delay until the next pass.
func (s *Site) pass(ctx context.Context) time.Duration {
	err := s.refresh(ctx)
	if err != nil {
		s.cfg.Log.Warn("failed to delete the MeshNode that this host wrote as a node", "err", err)
	}
	return kube.NextPass(err)
}

// refresh reads the objects. It deletes that of this host, of the time when the host
// was no gateway.
func (s *Site) refresh(ctx context.Context) error {
	refusal := s.objects.Refusal()
	left := s.refused.Left(refusal != nil && len(s.cached) > 0, time.Now())
	if !s.objects.Synced() && refusal == nil || left > 0 {
		s.useCache()
		return nil
	}
	nodes, err := s.objects.List()
	if err != nil {
		s.cfg.Log.Warn("failed to decode MeshNode objects", "err", err)
	}
	own, exists := nodes[s.cfg.Node]
	delete(nodes, s.cfg.Node)
	specs := map[string]Spec{}
	for name, m := range nodes {
		specs[name] = m.Spec
	}
	s.latest.Set(s.withPeers(specs, refusal))
	s.save(specs)
	if exists {
		return s.objects.Delete(ctx, own.Name, own.UID)
	}
	return nil
}

// save writes the cache file unless it has this content.
func (s *Site) save(specs map[string]Spec) {
	if reflect.DeepEqual(specs, s.cached) {
		return
	}
	if err := s.cache.Save(specs); err != nil {
		s.cfg.Log.Warn("failed to cache the MeshNode objects; the next start needs the API server", "err", err)
		return
	}
	s.cached = specs
}

// useCache publishes the nodes of the cache file, as pending.
func (s *Site) useCache() {
	site := s.withPeers(s.cached, nil)
	site.Nodes.Pending = true
	s.latest.Set(site)
}

// ownOf returns the Node with a name; the zero value: there is none.
func ownOf(nodes []kube.Node, name string) kube.Node {
	if i := slices.IndexFunc(nodes, func(n kube.Node) bool { return n.Name == name }); i >= 0 {
		return nodes[i]
	}
	return kube.Node{}
}

// withPeers returns the site with the nodes that have a tunnel to this gateway. A
// node that is a gateway by its label, or that the cluster no longer has, is none.
func (s *Site) withPeers(specs map[string]Spec, refusal error) plan.Site {
	site := s.cfg.Cluster.Current()
	nodes := s.cfg.Cluster.Nodes()
	claimed := claimsOf(slices.DeleteFunc(slices.Clone(nodes), func(n kube.Node) bool {
		_, exists := specs[n.Name] // one that Kubernetes has not deleted yet may have the address of its successor
		return !exists && !n.Gateway && n.Name != s.cfg.Node
	}), len(ownOf(nodes, s.cfg.Node).PodCIDRs) > 0)
	for _, n := range nodes {
		if n.Name == s.cfg.Node {
			site.Nodes.PodCIDRs = n.PodCIDRs
		}
		spec, exists := specs[n.Name]
		if !exists || n.Gateway || !slices.Contains(spec.Tunnels, s.cfg.Gateway) {
			continue
		}
		key, _ := tunnel.ParsePublicKey(spec.PublicKey) // the planner refuses the zero key
		site.Nodes.Peers = append(site.Nodes.Peers, plan.NodePeer{
			Name: n.Name, PublicKey: key, Port: uint16(spec.Port), //nolint:gosec // the CRD bounds it, and the planner checks it
			Addresses: n.Addresses, Contested: claimed.contested(n), PodCIDRs: n.PodCIDRs, ReportedPodCIDRs: spec.pods(),
		})
	}
	slices.SortFunc(site.Nodes.Peers, func(a, b plan.NodePeer) int { return cmp.Compare(a.Name, b.Name) })
	if refusal != nil {
		site.Problems = append(slices.Clone(site.Problems), plan.Problem{
			Code: "meshnodes-unknown", Severity: plan.Warning, Subject: "kubernetes",
			Message: fmt.Sprintf("nodes that share no link with this gateway have no path to other datacenters: %v", refusal),
			Remedy:  "install the CRD of meshnodes.meshway.io, and grant the service account the right to list and watch it",
		})
	}
	return site
}

// Current implements dataplane.Site.
func (s *Site) Current() plan.Site { return s.latest.Get() }

// Changed implements dataplane.Site.
func (s *Site) Changed() <-chan struct{} { return s.latest.Changed() }
