package kube

import (
	"cmp"
	"context"
	"log/slog"
	"net/netip"
	"path/filepath"
	"reflect"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	coreinformers "k8s.io/client-go/informers/core/v1"
	networkinginformers "k8s.io/client-go/informers/networking/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/meshway/meshway/agent/config"
	"github.com/meshway/meshway/agent/dataplane"
	"github.com/meshway/meshway/agent/notify"
	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/agent/state"
	"github.com/meshway/meshway/consensus/catalog"
)

// kubeadm keeps its configuration in this ConfigMap, as its documentation states.
const (
	kubeadmNamespace = "kube-system"
	kubeadmName      = "kubeadm-config"
)

// DiscoveryConfig configures a Discovery.
type DiscoveryConfig struct {
	Client     kubernetes.Interface
	Kubernetes config.Kubernetes
	Static     []catalog.Prefix // owned in addition to what is discovered
	Dir        string           // of the cache file
	Log        *slog.Logger     // nil: discarded
}

// Discovery discovers the prefixes and nodes of the cluster. Only gateways use it,
// since it watches all Nodes.
type Discovery struct {
	cfg      DiscoveryConfig
	nodes    *Source
	services *Source
	kubeadm  *Source
	cache    state.File[discovered]
	wake     notify.Signal
	latest   notify.Latest[discovered]

	refused RefusalGrace // only Run uses it
}

var _ dataplane.Site = (*Discovery)(nil)

// discovered is the content of the cache file.
type discovered struct {
	Site  plan.Site `json:"site"`
	Nodes []Node    `json:"nodes"`
}

// NewDiscovery returns a Discovery that has the content of the cache file until it
// runs.
func NewDiscovery(cfg DiscoveryConfig) (*Discovery, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	d := &Discovery{
		cfg:   cfg,
		cache: state.File[discovered]{Path: filepath.Join(cfg.Dir, "cluster.json"), What: "cached cluster"},
		wake:  notify.NewSignal(),
	}
	var err error
	if d.nodes, err = NewSource(coreinformers.NewNodeInformer(cfg.Client, 0, nil), slimNode, d.wake); err != nil {
		return nil, err
	}
	if d.services, err = NewSource(networkinginformers.NewServiceCIDRInformer(cfg.Client, 0, nil), nil, d.wake); err != nil {
		return nil, err
	}
	maps := coreinformers.NewFilteredConfigMapInformer(cfg.Client, kubeadmNamespace, 0, nil, named(kubeadmName))
	if d.kubeadm, err = NewSource(maps, nil, d.wake); err != nil {
		return nil, err
	}
	if last, found, _ := d.cache.Load(); found {
		d.latest.Set(last)
	}
	return d, nil
}

// Run watches until ctx ends.
func (d *Discovery) Run(ctx context.Context) error {
	for _, s := range []*Source{d.nodes, d.services, d.kubeadm} {
		defer s.Start(ctx)()
	}
	notify.Loop(ctx, func(context.Context) time.Duration { return d.discover(time.Now()) }, d.wake.Changed)
	return nil
}

// discover does nothing until all sources are complete or refused: prefixes of a
// missing source would appear to be removed. It returns the delay until the next call if
// nothing changes before; 0: none is needed.
func (d *Discovery) discover(at time.Time) time.Duration {
	var refused []error
	for _, s := range []*Source{d.nodes, d.services, d.kubeadm} {
		refusal := s.Refusal()
		if !s.Synced() && refusal == nil {
			return 0
		}
		if refusal != nil {
			refused = append(refused, refusal)
		}
	}
	c := cluster{services: serviceCIDRsOf(Items[*networkingv1.ServiceCIDR](d.services)), refused: refused}
	for _, n := range Items[*corev1.Node](d.nodes) {
		c.nodes = append(c.nodes, nodeOf(n, d.cfg.Kubernetes.GatewayLabel))
	}
	for _, m := range Items[*corev1.ConfigMap](d.kubeadm) {
		c.kubeadm = kubeadmOf(m)
	}
	slices.SortFunc(c.nodes, func(a, b Node) int { return cmp.Compare(a.Name, b.Name) })
	now := discovered{Site: siteOf(d.cfg.Kubernetes, d.cfg.Static, c), Nodes: c.nodes}
	if left := d.refused.Left(len(refused) > 0 && !now.hasAllOf(d.latest.Get()), at); left > 0 {
		return left
	}
	if reflect.DeepEqual(d.latest.Get(), now) {
		return 0
	}
	defer d.latest.Set(now)
	d.cfg.Log.Info("discovered the cluster", "prefixes", now.Site.Prefixes, "nodes", len(now.Nodes))
	if err := d.cache.Save(now); err != nil {
		d.cfg.Log.Warn("failed to cache the discovered cluster; the next start needs the API server", "err", err)
	}
	return 0
}

// hasAllOf reports whether d has all prefixes and nodes of another one.
func (d discovered) hasAllOf(o discovered) bool {
	return !slices.ContainsFunc(o.Site.Prefixes, func(p catalog.Prefix) bool { return !slices.Contains(d.Site.Prefixes, p) }) &&
		!slices.ContainsFunc(o.Nodes, func(n Node) bool {
			return !slices.ContainsFunc(d.Nodes, func(m Node) bool { return m.Name == n.Name })
		})
}

// Current implements dataplane.Site.
func (d *Discovery) Current() plan.Site { return d.latest.Get().Site }

// Changed implements dataplane.Site.
func (d *Discovery) Changed() <-chan struct{} { return d.latest.Changed() }

// Nodes returns the nodes of the cluster, sorted by name. They are shared and must
// not be changed.
func (d *Discovery) Nodes() []Node { return d.latest.Get().Nodes }

// Gateways returns the sorted names of the gateways that the labels of the Nodes
// define. It returns false until the API server has listed the Nodes since the
// start.
func (d *Discovery) Gateways() ([]string, bool) {
	if !d.nodes.Synced() {
		return nil, false
	}
	var names []string
	for _, n := range Items[*corev1.Node](d.nodes) {
		if node := nodeOf(n, d.cfg.Kubernetes.GatewayLabel); node.Gateway {
			names = append(names, config.GatewayOfNode(n.Name))
		}
	}
	slices.Sort(names)
	return names, true
}

// Addresses returns the addresses of each node by the name that a gateway on it
// has.
func (d *Discovery) Addresses() map[string][]netip.Addr {
	addresses := map[string][]netip.Addr{}
	for _, n := range d.latest.Get().Nodes {
		addresses[config.GatewayOfNode(n.Name)] = n.Addresses
	}
	return addresses
}
