package meshnode

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"reflect"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/dynamic"

	"github.com/meshway/meshway/agent/kube"
	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/agent/wake"
	"github.com/meshway/meshway/tunnel"
)

// WriterConfig is what a Writer needs.
type WriterConfig struct {
	Client    dynamic.Interface
	Node      string // name of the own Node
	PublicKey tunnel.PublicKey
	Port      uint16                               // UDP, of lane 0
	Owner     func() (metav1.OwnerReference, bool) // the own Node; false: not known yet
	Paths     func() ([]plan.Way, bool)            // to the gateways; false: not known yet
	Pods      func() []netip.Prefix                // ranges of the own pods, as the node's routes tell
	// NodePods are the same as the own Node tells, and as its annotation does.
	NodePods func() (spec, annotated []netip.Prefix)
	Changed  func() <-chan struct{} // closed at the next change of Ways
	Log      *slog.Logger
}

// Writer keeps the own MeshNode object as the node is.
type Writer struct {
	cfg     WriterConfig
	source  *kube.Source
	wake    wake.One
	failure kube.LogOnce
}

// NewWriter returns a writer that does nothing until it runs.
func NewWriter(cfg WriterConfig) (*Writer, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	w := &Writer{cfg: cfg, wake: wake.NewOne()}
	var err error
	w.source, err = kube.NewObjects(cfg.Client, Resource(), cfg.Node, w.wake)
	return w, err
}

// Run writes until ctx ends; the object stays.
func (w *Writer) Run(ctx context.Context) error {
	defer w.source.Start(ctx)()
	for {
		changed := w.cfg.Changed() // before the pass, so that none is missed
		pause := kube.RecheckInterval
		err := w.pass(ctx)
		if err != nil {
			pause = kube.RetryInterval
		}
		w.report(err)
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		case <-w.wake:
		case <-time.After(pause):
		}
	}
}

func (w *Writer) report(err error) {
	if w.failure.IsNew(err) {
		w.cfg.Log.Warn("gateways are not told of this node: those on other links do not reach it", "err", err,
			"remedy", "install the CRD of meshnodes.meshway.io and the roles of the same version")
	}
}

// pass compares, and writes what differs.
func (w *Writer) pass(ctx context.Context) error {
	if !w.source.Synced() {
		return w.source.Refusal()
	}
	ways, known := w.cfg.Paths()
	owner, exists := w.cfg.Owner()
	if !known || !exists {
		return nil
	}
	want := MeshNode{Spec: w.spec(ways)}
	want.Name, want.Labels = w.cfg.Node, map[string]string{kube.ManagedByLabel: kube.ManagedBy}
	want.OwnerReferences = []metav1.OwnerReference{owner}
	for _, object := range kube.Items[*unstructured.Unstructured](w.source) {
		if object.GetName() != w.cfg.Node {
			continue
		}
		have, err := Decode(object.Object)
		if err == nil && reflect.DeepEqual(have.Spec, want.Spec) && reflect.DeepEqual(have.OwnerReferences, want.OwnerReferences) {
			return nil
		}
		want.ResourceVersion = object.GetResourceVersion()
	}
	return w.write(ctx, want)
}

func (w *Writer) spec(ways []plan.Way) Spec {
	s := Spec{PublicKey: w.cfg.PublicKey.String(), Port: int32(w.cfg.Port)}
	for _, way := range ways {
		if way.Tunnel {
			s.Tunnels = append(s.Tunnels, way.Gateway)
		} else {
			s.Links = append(s.Links, way.Gateway)
		}
	}
	for _, p := range w.pods() {
		s.PodCIDRs = append(s.PodCIDRs, p.String())
	}
	return s
}

// pods are told where the Node does not say it already: what was annotated,
// else what was found if it is more. A CNI plugin with a route for each pod
// would else cause a write for each.
func (w *Writer) pods() []netip.Prefix {
	spec, annotated := w.cfg.NodePods()
	if len(annotated) > 0 {
		return kube.Aggregate(annotated)
	}
	found := kube.Aggregate(w.cfg.Pods())
	if slices.Equal(kube.Aggregate(slices.Concat(spec, found)), kube.Aggregate(spec)) {
		return nil
	}
	return found
}

// write is refused by the API server if somebody else has written since we
// looked; then the next pass, which their write causes, does it.
func (w *Writer) write(ctx context.Context, m MeshNode) error {
	ctx, cancel := context.WithTimeout(ctx, kube.WriteTimeout)
	defer cancel()
	object, err := m.Encode()
	if err != nil {
		return fmt.Errorf("encode meshnode %s: %w", m.Name, err)
	}
	client := w.cfg.Client.Resource(Resource())
	if m.ResourceVersion == "" {
		_, err = client.Create(ctx, &unstructured.Unstructured{Object: object}, metav1.CreateOptions{})
	} else {
		_, err = client.Update(ctx, &unstructured.Unstructured{Object: object}, metav1.UpdateOptions{})
	}
	if err != nil {
		return fmt.Errorf("write meshnode %s: %w", m.Name, err)
	}
	return nil
}

// Remove deletes the MeshNode objects that Writers made. None may run any more.
func Remove(ctx context.Context, client dynamic.Interface) error {
	return kube.RemoveManaged(ctx, client, Resource())
}

// remove deletes the object of a node; a missing one is no error.
func remove(ctx context.Context, client dynamic.Interface, name string) error {
	ctx, cancel := context.WithTimeout(ctx, kube.WriteTimeout)
	defer cancel()
	err := client.Resource(Resource()).Delete(ctx, name, metav1.DeleteOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("delete meshnode %s: %w", name, err)
	}
	return nil
}
