package meshnode

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/dynamic"

	"github.com/meshway/meshway/agent"
	"github.com/meshway/meshway/agent/kube"
	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/agent/wake"
	"github.com/meshway/meshway/tunnel"
)

// Cluster is what a Site adds to: *kube.Discovery.
type Cluster interface {
	agent.Site
	// Nodes are those of the cluster, by name.
	Nodes() []kube.Node
}

// SiteConfig is what a Site needs.
type SiteConfig struct {
	Client  dynamic.Interface
	Cluster Cluster
	Node    string // name of the own Node
	Gateway string // the own name
	Dir     string // keeps what was read last
	Log     *slog.Logger
}

// Site is a cluster with the nodes that reach this gateway through a tunnel.
type Site struct {
	cfg    SiteConfig
	source *kube.Source
	cache  kube.CacheFile[map[string]Spec]
	wake   wake.One
	latest wake.Latest[plan.Site]
}

var _ agent.Site = (*Site)(nil)

// NewSite knows already what an earlier one read.
func NewSite(cfg SiteConfig) (*Site, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	s := &Site{
		cfg: cfg, wake: wake.NewOne(),
		cache: kube.CacheFile[map[string]Spec]{Path: filepath.Join(cfg.Dir, "meshnodes.json")},
	}
	specs, _ := s.cache.Load()
	site := s.withPeers(specs, nil)
	site.Nodes.Pending = true
	s.latest.Set(site)
	var err error
	s.source, err = kube.NewObjects(cfg.Client, Resource(), "", s.wake)
	return s, err
}

// Run reads until ctx ends.
func (s *Site) Run(ctx context.Context) error {
	defer s.source.Start(ctx)()
	for {
		changed := s.cfg.Cluster.Changed() // before the pass, so that none is missed
		pause := kube.RecheckInterval
		if err := s.pass(ctx); err != nil {
			s.cfg.Log.Warn("what this host said as a node is still there", "err", err)
			pause = kube.RetryInterval
		}
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		case <-s.wake:
		case <-time.After(pause):
		}
	}
}

func (s *Site) pass(ctx context.Context) error {
	refusal := s.source.Refusal()
	if !s.source.Synced() && refusal == nil {
		specs, _ := s.cache.Load()
		now := s.withPeers(specs, nil)
		now.Nodes.Pending = true
		s.latest.Set(now)
		return nil
	}
	specs := map[string]Spec{}
	for _, object := range kube.Items[*unstructured.Unstructured](s.source) {
		m, err := Decode(object.Object)
		if err != nil {
			s.cfg.Log.Warn("a meshnode cannot be read", "name", object.GetName(), "err", err)
			continue
		}
		specs[m.Name] = m.Spec
	}
	_, own := specs[s.cfg.Node]
	delete(specs, s.cfg.Node)
	s.latest.Set(s.withPeers(specs, refusal))
	if err := s.cache.Save(specs); err != nil {
		s.cfg.Log.Warn("the next start will depend on the API server", "err", err)
	}
	if own {
		return remove(ctx, s.cfg.Client, s.cfg.Node) // of the time when this host was no gateway
	}
	return nil
}

// withPeers takes the nodes that want a tunnel to this gateway. One that is a
// gateway by its label, or that the cluster has no more, has none.
func (s *Site) withPeers(specs map[string]Spec, refusal error) plan.Site {
	site := s.cfg.Cluster.Current()
	for _, n := range s.cfg.Cluster.Nodes() {
		if n.Name == s.cfg.Node {
			site.Nodes.PodCIDRs = n.PodCIDRs
		}
		spec, told := specs[n.Name]
		if !told || n.Gateway || !slices.Contains(spec.Tunnels, s.cfg.Gateway) {
			continue
		}
		key, _ := tunnel.ParsePublicKey(spec.PublicKey) // the planner refuses the zero one
		site.Nodes.Peers = append(site.Nodes.Peers, plan.NodePeer{
			Name: n.Name, PublicKey: key, Port: uint16(spec.Port), //nolint:gosec // the CRD bounds it, and the planner judges it
			Addresses: n.Addresses, PodCIDRs: n.PodCIDRs, Claims: spec.pods(),
		})
	}
	slices.SortFunc(site.Nodes.Peers, func(a, b plan.NodePeer) int { return cmp.Compare(a.Name, b.Name) })
	if refusal != nil {
		site.Problems = append(slices.Clone(site.Problems), plan.Problem{
			Code: "meshnodes-unknown", Severity: plan.Warning, Subject: "kubernetes",
			Message: fmt.Sprintf("nodes on other links than this gateway have no way to other datacenters: %v", refusal),
			Remedy:  "install the CRD of meshnodes.meshway.io, and give the service account the right to list and watch it",
		})
	}
	return site
}

// Current implements agent.Site.
func (s *Site) Current() plan.Site { return s.latest.Get() }

// Changed implements agent.Site.
func (s *Site) Changed() <-chan struct{} { return s.latest.Changed() }
