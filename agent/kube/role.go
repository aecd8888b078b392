package kube

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"path/filepath"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	coreinformers "k8s.io/client-go/informers/core/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/meshway/meshway/agent/config"
	"github.com/meshway/meshway/agent/notify"
	"github.com/meshway/meshway/agent/state"
)

// Role is the role of a node of the cluster, which its gateway label determines.
type Role string

// The roles. The zero value is RoleUnknown: not observed yet.
const (
	RoleUnknown Role = ""
	RoleGateway Role = "gateway"
	RoleNode    Role = "node"
)

// RoleConfig configures a RoleWatcher.
type RoleConfig struct {
	Client     kubernetes.Interface
	Kubernetes config.Kubernetes
	Dir        string       // of the cache file
	Log        *slog.Logger // nil: discarded
}

// RoleWatcher follows the labels and annotations of the own Node. It watches no
// other Node.
type RoleWatcher struct {
	cfg     RoleConfig
	node    *Source
	cache   state.File[Role]
	wake    notify.Signal
	latest  notify.Latest[Role]
	invalid LogOnce // errors in the annotation of the own Node; only Run uses it
}

// NewRoleWatcher returns a watcher that has the role of the cache file until it
// runs.
func NewRoleWatcher(cfg RoleConfig) (*RoleWatcher, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	w := &RoleWatcher{
		cfg:   cfg,
		cache: state.File[Role]{Path: filepath.Join(cfg.Dir, "role.json"), What: "cached role"},
		wake:  notify.NewSignal(),
	}
	informer := coreinformers.NewFilteredNodeInformer(cfg.Client, 0, nil, named(cfg.Kubernetes.NodeName))
	var err error
	w.node, err = NewSource(informer, slimNode, w.wake)
	if role, found, _ := w.cache.Load(); found {
		w.latest.Set(role)
	}
	return w, err
}

// Run watches until ctx ends.
func (w *RoleWatcher) Run(ctx context.Context) error {
	defer w.node.Start(ctx)()
	notify.Loop(ctx, func(context.Context) time.Duration {
		w.refresh()
		return 0
	}, w.wake.Changed)
	return nil
}

func (w *RoleWatcher) refresh() {
	if err := w.node.Refusal(); err != nil {
		w.cfg.Log.Error("failed to read the role of this node", "node", w.cfg.Kubernetes.NodeName, "err", err,
			"remedy", "grant the service account the right to get, list and watch nodes")
	}
	if !w.node.Synced() {
		return
	}
	n, exists := w.ownNode()
	if !exists {
		w.cfg.Log.Error("the cluster has no Node with the configured name", "node", w.cfg.Kubernetes.NodeName,
			"remedy", "set kubernetes.nodeName or --node-name to the name that kubectl get nodes lists")
		return
	}
	w.checkAnnotation(n)
	role := w.roleOf(n)
	if role == w.latest.Get() {
		return
	}
	w.cfg.Log.Info("role of this node changed", "node", w.cfg.Kubernetes.NodeName, "role", role)
	defer w.latest.Set(role)
	if err := w.cache.Save(role); err != nil {
		w.cfg.Log.Warn("failed to cache the role of this node; the next start needs the API server", "err", err)
	}
}

func (w *RoleWatcher) roleOf(n *corev1.Node) Role {
	if nodeOf(n, w.cfg.Kubernetes.GatewayLabel).Gateway {
		return RoleGateway
	}
	return RoleNode
}

// Read reads the role from the API server. Unlike Current it does not depend on when
// the watch delivers a change.
func (w *RoleWatcher) Read(ctx context.Context) (Role, error) {
	options := metav1.ListOptions{}
	named(w.cfg.Kubernetes.NodeName)(&options)
	nodes, err := w.cfg.Client.CoreV1().Nodes().List(ctx, options)
	if err != nil {
		return RoleUnknown, fmt.Errorf("read node %s: %w", w.cfg.Kubernetes.NodeName, err)
	}
	for i := range nodes.Items {
		if nodes.Items[i].Name == w.cfg.Kubernetes.NodeName {
			return w.roleOf(&nodes.Items[i]), nil
		}
	}
	return RoleUnknown, nil
}

// ownNode returns the Node of this host. It returns false if the cluster has none or
// it was not observed yet.
func (w *RoleWatcher) ownNode() (*corev1.Node, bool) {
	for _, n := range Items[*corev1.Node](w.node) {
		if n.Name == w.cfg.Kubernetes.NodeName {
			return n, true
		}
	}
	return nil, false
}

// checkAnnotation logs once that the annotation is not valid.
func (w *RoleWatcher) checkAnnotation(n *corev1.Node) {
	if _, err := annotatedPods(n); w.invalid.IsNew(err) {
		w.cfg.Log.Warn("ignored the annotation with the pod ranges of this node", "err", err,
			"remedy", "set the annotation to prefixes separated by commas, as in 10.1.2.0/24,fd00:1:2::/64")
	}
}

// Current returns the role that was observed last.
func (w *RoleWatcher) Current() Role { return w.latest.Get() }

// Changed is closed at the next change of Current after this call.
func (w *RoleWatcher) Changed() <-chan struct{} { return w.latest.Changed() }

// Pods returns the ranges of the pods of the own node: those of
// Node.spec.podCIDRs, and those of plan.PodCIDRsAnnotation, with which an operator
// overrides them.
func (w *RoleWatcher) Pods() (spec, annotated []netip.Prefix) {
	n, exists := w.ownNode()
	if !exists {
		return nil, nil
	}
	annotated, _ = annotatedPods(n) // checkAnnotation logs the error
	return podCIDRsOf(n), annotated
}

// Owner returns a reference to the own Node: Kubernetes deletes the objects that
// have it together with the Node. It returns false before the Node was observed.
func (w *RoleWatcher) Owner() (metav1.OwnerReference, bool) {
	n, exists := w.ownNode()
	if !exists {
		return metav1.OwnerReference{}, false
	}
	return metav1.OwnerReference{APIVersion: "v1", Kind: "Node", Name: n.Name, UID: n.UID}, true
}
