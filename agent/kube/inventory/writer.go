package inventory

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"reflect"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/tools/record"

	"github.com/meshway/meshway/agent/kube"
	"github.com/meshway/meshway/agent/status"
	"github.com/meshway/meshway/agent/wake"
)

// batchDelay collects what changes at once into one write.
const batchDelay = 100 * time.Millisecond

// WriterConfig is what a Writer needs.
type WriterConfig struct {
	Client    dynamic.Interface
	Events    record.EventRecorder           // nil: none are written
	Snapshot  func() status.Snapshot         // of the own gateway
	Changed   func() <-chan struct{}         // closed at the next change of Snapshot
	Addresses func() map[string][]netip.Addr // of the nodes, by gateway name
	Tunnel    *NodeTunnel                    // of this gateway, for nodes; nil: it has none
	// DatacenterIsMember tells whether the cluster is a member, be it that the own gateway is
	// not now; nil: it is as the gateway is.
	DatacenterIsMember func() bool
	SiblingProber      *SiblingProber // for the other gateways; nil: nobody looks out for them
	Log                *slog.Logger
}

// Writer keeps the Datacenter objects as the federation is. It never blocks
// the data plane: an API server that is away only makes the objects old.
type Writer struct {
	cfg     WriterConfig
	source  *kube.Source
	wake    wake.One
	failure kube.LogOnce
	// handledSilent are those of other gateways of which the objects tell already; only
	// Run touches it.
	handledSilent map[string]time.Time
}

// NewWriter returns a writer that does nothing until it runs.
func NewWriter(cfg WriterConfig) (*Writer, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	w := &Writer{cfg: cfg, wake: wake.NewOne()}
	var err error
	w.source, err = kube.NewObjects(cfg.Client, Resource(), "", w.wake)
	return w, err
}

// Run writes until ctx ends; the objects stay.
func (w *Writer) Run(ctx context.Context) error {
	defer w.source.Start(ctx)()
	for {
		changed, deaths := w.cfg.Changed(), w.probesChanged() // before the pass, so that none is missed
		pause := w.pass(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		case <-deaths:
		case <-w.wake:
		case <-time.After(pause):
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(batchDelay):
		}
	}
}

// pass compares and writes what differs.
func (w *Writer) pass(ctx context.Context) time.Duration {
	if !w.source.Synced() {
		w.report(w.source.Refusal())
		return kube.RecheckInterval
	}
	s := w.cfg.Snapshot()
	var err error
	switch {
	case s.State == status.Standalone && w.cfg.DatacenterIsMember != nil && w.cfg.DatacenterIsMember():
		// Other gateways stand for the objects, or this one will again.
	case s.State == status.Standalone:
		err = w.withdraw(ctx, s.Self.Gateway)
	case s.State == status.Member && s.Federation != nil && s.Catalog.Synced:
		err = w.publish(ctx, View{
			Self: s.Self.Gateway, Federation: *s.Federation, Datacenters: s.Datacenters,
			Problems: s.Problems, Draining: s.Self.Draining, Addresses: w.cfg.Addresses(), Tunnel: w.cfg.Tunnel,
		})
	}
	w.report(err)
	if err != nil {
		return kube.RetryInterval
	}
	return kube.RecheckInterval
}

// probesChanged is closed when another gateway dies; nil, on which nobody waits in
// vain: nobody looks.
func (w *Writer) probesChanged() <-chan struct{} {
	if w.cfg.SiblingProber == nil {
		return nil
	}
	return w.cfg.SiblingProber.Changed()
}

// publish writes what the view says, and once for each death of another gateway
// that it reaches nobody. If it lives after all it writes itself that it does,
// and it is let stand.
func (w *Writer) publish(ctx context.Context, v View) error {
	var deaths map[string]time.Time
	if w.cfg.SiblingProber != nil {
		deaths = w.cfg.SiblingProber.Silent()
	}
	for name, since := range deaths {
		if told, ok := w.handledSilent[name]; !ok || !told.Equal(since) {
			v.Silent = append(v.Silent, name)
		}
	}
	err := w.write(ctx, v)
	if err == nil {
		w.handledSilent = deaths
	}
	return err
}

func (w *Writer) report(err error) {
	if w.failure.IsNew(err) {
		w.cfg.Log.Warn("the inventory in the cluster is not up to date", "err", err)
	}
}

// write makes one object of each member, and deletes those of members that left.
func (w *Writer) write(ctx context.Context, v View) error {
	have, err := w.objects()
	for _, dc := range v.Datacenters {
		err = errors.Join(err, w.put(ctx, have[dc.Name], v, dc))
		delete(have, dc.Name)
	}
	for _, gone := range have {
		if gone.Labels[kube.ManagedByLabel] == kube.ManagedBy {
			err = errors.Join(err, w.delete(ctx, gone))
		}
	}
	return err
}

// withdraw takes out what a gateway said that is in no federation any more.
// An object that no gateway stands for is deleted; one of which another
// gateway of this cluster still knows stays.
func (w *Writer) withdraw(ctx context.Context, self string) error {
	have, err := w.objects()
	for _, dc := range have {
		left, had := withoutGateway(dc.Status, self)
		switch {
		case !had:
		case len(left.Through) == 0:
			err = errors.Join(err, w.delete(ctx, dc))
		default:
			dc.Status = left
			err = errors.Join(err, w.update(ctx, dc))
		}
	}
	return err
}

func (w *Writer) objects() (map[string]Datacenter, error) {
	have := map[string]Datacenter{}
	var errs []error
	for _, object := range kube.Items[*unstructured.Unstructured](w.source) {
		dc, err := Decode(object.Object)
		if err != nil {
			errs = append(errs, fmt.Errorf("read datacenter %s: %w", object.GetName(), err))
			continue
		}
		have[dc.Name] = dc
	}
	return have, errors.Join(errs...)
}

// put makes or changes one object; if nothing differs, nothing is written.
func (w *Writer) put(ctx context.Context, have Datacenter, v View, dc status.Datacenter) error {
	joined := have.Name == ""
	if joined {
		var err error
		if have, err = w.create(ctx, dc.Name); err != nil {
			return err
		}
	}
	before := have.Status
	have.Status = merge(before, v, dc, have.Generation, time.Now())
	if reflect.DeepEqual(before, have.Status) {
		return nil
	}
	if err := w.update(ctx, have); err != nil {
		return err
	}
	if joined {
		w.event(have, corev1.EventTypeNormal, reasonJoined, "the datacenter is in the federation")
	}
	if !joined {
		w.recordGatewayEvents(have, before.Gateways)
	}
	was := meta.FindStatusCondition(before.Conditions, ConditionReachable)
	is := meta.FindStatusCondition(have.Status.Conditions, ConditionReachable)
	switch {
	case dc.Self || was != nil && was.Status == is.Status || was == nil && is.Status != metav1.ConditionTrue:
	case is.Status == metav1.ConditionTrue:
		w.event(have, corev1.EventTypeNormal, reasonReachable, is.Message)
	default:
		w.event(have, corev1.EventTypeWarning, reasonUnreachable, is.Message)
	}
	return nil
}

// recordGatewayEvents says which gateways have come and gone. Who writes the change
// tells it, so that it is told once.
func (w *Writer) recordGatewayEvents(dc Datacenter, before []Gateway) {
	for _, c := range []struct {
		list, other  []Gateway
		reason, text string
	}{
		{dc.Status.Gateways, before, reasonGatewayAdded, "gateway %s of %s is in the federation"},
		{before, dc.Status.Gateways, reasonGatewayRemoved, "gateway %s of %s is no longer in the federation"},
	} {
		for _, g := range c.list {
			if !slices.ContainsFunc(c.other, func(o Gateway) bool { return o.Name == g.Name }) {
				w.event(dc, corev1.EventTypeNormal, c.reason, fmt.Sprintf(c.text, g.Name, dc.Name))
			}
		}
	}
}

func (w *Writer) create(ctx context.Context, name string) (Datacenter, error) {
	ctx, cancel := context.WithTimeout(ctx, kube.WriteTimeout)
	defer cancel()
	dc := Datacenter{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{kube.ManagedByLabel: kube.ManagedBy}}}
	object, err := dc.Encode()
	if err != nil {
		return dc, fmt.Errorf("encode datacenter %s: %w", name, err)
	}
	delete(object, "status")
	made, err := w.cfg.Client.Resource(Resource()).Create(ctx, &unstructured.Unstructured{Object: object}, metav1.CreateOptions{})
	if err != nil {
		return dc, fmt.Errorf("create datacenter %s: %w", name, err)
	}
	return Decode(made.Object)
}

// update is refused by the API server if somebody else has written since we
// looked; then the next pass, which their write causes, does it.
func (w *Writer) update(ctx context.Context, dc Datacenter) error {
	ctx, cancel := context.WithTimeout(ctx, kube.WriteTimeout)
	defer cancel()
	object, err := dc.Encode()
	if err != nil {
		return fmt.Errorf("encode datacenter %s: %w", dc.Name, err)
	}
	_, err = w.cfg.Client.Resource(Resource()).UpdateStatus(ctx, &unstructured.Unstructured{Object: object}, metav1.UpdateOptions{})
	if err != nil {
		return fmt.Errorf("write datacenter %s: %w", dc.Name, err)
	}
	return nil
}

func (w *Writer) delete(ctx context.Context, dc Datacenter) error {
	ctx, cancel := context.WithTimeout(ctx, kube.WriteTimeout)
	defer cancel()
	err := w.cfg.Client.Resource(Resource()).Delete(ctx, dc.Name, metav1.DeleteOptions{Preconditions: metav1.NewUIDPreconditions(string(dc.UID))})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("delete datacenter %s: %w", dc.Name, err)
	}
	w.event(dc, corev1.EventTypeNormal, reasonLeft, "the datacenter is no longer in the federation")
	return nil
}

func (w *Writer) event(dc Datacenter, kind, reason, message string) {
	if w.cfg.Events == nil {
		return
	}
	w.cfg.Events.Event(&corev1.ObjectReference{
		APIVersion: Group + "/" + Version, Kind: Kind, Name: dc.Name, UID: dc.UID,
	}, kind, reason, message)
}
