package kube

import (
	"context"
	"log/slog"
	"net/netip"
	"path/filepath"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	coreinformers "k8s.io/client-go/informers/core/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/meshway/meshway/agent/config"
	"github.com/meshway/meshway/agent/wake"
)

// Role is what a node does.
type Role string

// The roles. The zero value: not known yet.
const (
	RoleUnknown Role = ""
	RoleGateway Role = "gateway"
	RoleNode    Role = "node"
)

// RoleConfig is what a RoleWatcher needs.
type RoleConfig struct {
	Client     kubernetes.Interface
	Kubernetes config.Kubernetes
	Dir        string // keeps the role over restarts
	Log        *slog.Logger
}

// RoleWatcher follows the label of the own Node, and looks at no other.
type RoleWatcher struct {
	cfg    RoleConfig
	node   *Source
	cache  CacheFile[Role]
	wake   wake.One
	latest wake.Latest[Role]
	// refused is why the annotation of the own Node is not used, told once; only Run touches it.
	refused string
}

// NewRoleWatcher knows already the role that an earlier one saw.
func NewRoleWatcher(cfg RoleConfig) (*RoleWatcher, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	w := &RoleWatcher{cfg: cfg, cache: CacheFile[Role]{filepath.Join(cfg.Dir, "role.json")}, wake: wake.NewOne()}
	own := func(o *metav1.ListOptions) {
		o.FieldSelector = fields.OneTermEqualSelector("metadata.name", cfg.Kubernetes.NodeName).String()
	}
	informer := coreinformers.NewFilteredNodeInformer(cfg.Client, 0, nil, own)
	var err error
	w.node, err = NewSource(informer, slimNode, w.wake)
	if role, ok := w.cache.Load(); ok {
		w.latest.Set(role)
	}
	return w, err
}

// Run watches until ctx ends.
func (w *RoleWatcher) Run(ctx context.Context) error {
	defer w.node.Start(ctx)()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-w.wake:
			w.refresh()
		}
	}
}

func (w *RoleWatcher) refresh() {
	if err := w.node.Refusal(); err != nil {
		w.cfg.Log.Error("this node's role cannot be read", "node", w.cfg.Kubernetes.NodeName, "err", err,
			"remedy", "give the service account the right to get, list and watch nodes")
	}
	if !w.node.Synced() {
		return
	}
	role := RoleUnknown
	for _, n := range Items[*corev1.Node](w.node) {
		if n.Name != w.cfg.Kubernetes.NodeName {
			continue
		}
		role = RoleNode
		w.checkAnnotation(n)
		if nodeOf(n, w.cfg.Kubernetes.GatewayLabel).Gateway {
			role = RoleGateway
		}
	}
	if role == RoleUnknown {
		w.cfg.Log.Error("the cluster has no such node", "node", w.cfg.Kubernetes.NodeName,
			"remedy", "give the name that kubectl get nodes shows: kubernetes.nodeName, or --node-name")
		return
	}
	if role == w.latest.Get() {
		return
	}
	w.cfg.Log.Info("role of this node", "node", w.cfg.Kubernetes.NodeName, "role", role)
	defer w.latest.Set(role)
	if err := w.cache.Save(role); err != nil {
		w.cfg.Log.Warn("the next start will depend on the API server", "err", err)
	}
}

// checkAnnotation tells once of an annotation that cannot be read.
func (w *RoleWatcher) checkAnnotation(n *corev1.Node) {
	_, err := annotatedPods(n)
	text := ""
	if err != nil {
		text = err.Error()
	}
	if text != "" && text != w.refused {
		w.cfg.Log.Warn("the annotation with the ranges of this node's pods is not used", "err", err,
			"remedy", "give prefixes divided by commas, as in 10.1.2.0/24,fd00:1:2::/64")
	}
	w.refused = text
}

// Current returns the role as it is known now.
func (w *RoleWatcher) Current() Role { return w.latest.Get() }

// Changed is closed at the next change of Current after this call.
func (w *RoleWatcher) Changed() <-chan struct{} { return w.latest.Changed() }

// Pods are the ranges that the own Node has for its pods: Node.spec.podCIDRs,
// and what its annotation says (plan.PodCIDRsAnnotation), which somebody has
// written who knows better.
func (w *RoleWatcher) Pods() (spec, annotated []netip.Prefix) {
	for _, n := range Items[*corev1.Node](w.node) {
		if n.Name == w.cfg.Kubernetes.NodeName {
			annotated, _ = annotatedPods(n) // look has told the error
			return podCIDRsOf(n), annotated
		}
	}
	return nil, nil
}

// Owner is a reference to the own Node, with which goes what it owns; false:
// not known yet.
func (w *RoleWatcher) Owner() (metav1.OwnerReference, bool) {
	for _, n := range Items[*corev1.Node](w.node) {
		if n.Name == w.cfg.Kubernetes.NodeName {
			return metav1.OwnerReference{APIVersion: "v1", Kind: "Node", Name: n.Name, UID: n.UID}, true
		}
	}
	return metav1.OwnerReference{}, false
}
