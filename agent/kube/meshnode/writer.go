package meshnode

import (
	"context"
	"log/slog"
	"net/netip"
	"reflect"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/dynamic"

	"github.com/meshway/meshway/agent/kube"
	"github.com/meshway/meshway/agent/notify"
	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/tunnel"
)

// WriterConfig configures a Writer.
type WriterConfig struct {
	Client    dynamic.Interface
	Node      string // name of the own Node
	PublicKey tunnel.PublicKey
	Port      uint16                               // UDP, of lane 0
	Owner     func() (metav1.OwnerReference, bool) // the own Node; false: unknown yet
	Paths     func() ([]plan.Path, bool)           // to the gateways; false: unknown yet
	Pods      func() []netip.Prefix                // ranges of the own pods, from the node's routes
	// NodePods returns the same from the own Node: its spec and its annotation.
	NodePods func() (spec, annotated []netip.Prefix)
	Changed  func() <-chan struct{} // closed at the next change of Paths
	Log      *slog.Logger           // nil: discarded
}

// Writer keeps the MeshNode object of the own node up to date.
type Writer struct {
	cfg     WriterConfig
	objects *kube.Objects[MeshNode]
	wake    notify.Signal
	failure kube.LogOnce
}

// NewWriter returns a writer that does nothing until it runs.
func NewWriter(cfg WriterConfig) (*Writer, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	w := &Writer{cfg: cfg, wake: notify.NewSignal()}
	var err error
	w.objects, err = kube.NewObjects(cfg.Client, Kind(), cfg.Node, w.wake)
	return w, err
}

// Run writes until ctx ends; the object stays.
func (w *Writer) Run(ctx context.Context) error {
	defer w.objects.Start(ctx)()
	notify.Loop(ctx, w.pass, w.cfg.Changed, w.wake.Changed)
	return nil
}

// pass writes what differs and returns the delay until the next pass.
func (w *Writer) pass(ctx context.Context) time.Duration {
	err := w.write(ctx)
	if w.failure.IsNew(err) {
		w.cfg.Log.Warn("failed to write the MeshNode of this node; gateways that share no link with it do not reach it", "err", err,
			"remedy", "install the CRD of meshnodes.meshway.io and the roles of the same version")
	}
	return kube.NextPass(err)
}

// write writes the object if it differs.
func (w *Writer) write(ctx context.Context) error {
	if !w.objects.Synced() {
		return w.objects.Refusal()
	}
	paths, pathsKnown := w.cfg.Paths()
	owner, ownerKnown := w.cfg.Owner()
	if !pathsKnown || !ownerKnown {
		return nil
	}
	want := MeshNode{Spec: w.spec(paths)}
	want.Name, want.Labels = w.cfg.Node, map[string]string{kube.ManagedByLabel: kube.ManagedBy}
	want.OwnerReferences = []metav1.OwnerReference{owner}
	objects, _ := w.objects.List() // an object that cannot be decoded is replaced
	have, exists := objects[w.cfg.Node]
	if exists && reflect.DeepEqual(have.Spec, want.Spec) && reflect.DeepEqual(have.OwnerReferences, want.OwnerReferences) {
		return nil
	}
	return w.objects.Replace(ctx, want)
}

func (w *Writer) spec(paths []plan.Path) Spec {
	s := Spec{PublicKey: w.cfg.PublicKey.String(), Port: int32(w.cfg.Port)}
	for _, path := range paths {
		if path.Tunnel {
			s.Tunnels = append(s.Tunnels, path.Gateway)
		} else {
			s.Links = append(s.Links, path.Gateway)
		}
	}
	for _, p := range w.pods() {
		s.PodCIDRs = append(s.PodCIDRs, p.String())
	}
	return s
}

// pods returns the annotated ranges, else those of the routes unless the spec of the
// Node covers them: with a CNI plugin that adds a route for each pod, each pod would
// otherwise cause a write.
func (w *Writer) pods() []netip.Prefix {
	spec, annotated := w.cfg.NodePods()
	if len(annotated) > 0 {
		return kube.Aggregate(annotated)
	}
	routed := kube.Aggregate(w.cfg.Pods())
	if slices.Equal(kube.Aggregate(slices.Concat(spec, routed)), kube.Aggregate(spec)) {
		return nil
	}
	return routed
}

// Remove deletes the MeshNode objects that Writers created. No Writer may run.
func Remove(ctx context.Context, client dynamic.Interface) error {
	return kube.RemoveManaged(ctx, client, Kind().Resource())
}
