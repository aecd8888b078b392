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
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/tools/record"

	"github.com/meshway/meshway/agent/kube"
	"github.com/meshway/meshway/agent/notify"
	"github.com/meshway/meshway/agent/plan"
)

// batchDelay combines changes that follow each other closely into one write.
const batchDelay = 100 * time.Millisecond

// WriterConfig configures a Writer.
type WriterConfig struct {
	Client        dynamic.Interface
	Events        record.EventRecorder           // nil: no Events
	Reachability  func() plan.Reachability       // as the own gateway observes it
	Changed       func() <-chan struct{}         // closed at the next change of Reachability
	Addresses     func() map[string][]netip.Addr // of the nodes, by name of gateway
	Tunnel        *NodeTunnel                    // of this gateway, for nodes; nil: none
	SiblingProber *SiblingProber                 // nil: failed siblings keep their entries
	Log           *slog.Logger                   // nil: discarded
}

// Writer keeps the Datacenter objects up to date. It never blocks the data plane:
// while the API server is unavailable the objects are outdated.
type Writer struct {
	cfg     WriterConfig
	objects *kube.Objects[Datacenter]
	wake    notify.Signal
	failure kube.LogOnce
	// handledSilent are the silent siblings, and since when, whose entries have been
	// dropped already; only Run uses it.
	handledSilent map[string]time.Time
}

// NewWriter returns a writer that does nothing until it runs.
func NewWriter(cfg WriterConfig) (*Writer, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	w := &Writer{cfg: cfg, wake: notify.NewSignal()}
	var err error
	w.objects, err = kube.NewObjects(cfg.Client, Kind(), "", w.wake)
	return w, err
}

// Run writes until ctx ends; the objects stay.
func (w *Writer) Run(ctx context.Context) error {
	defer w.objects.Start(ctx)()
	notify.LoopBatched(ctx, batchDelay, w.pass, w.cfg.Changed, w.probesChanged, w.wake.Changed)
	return nil
}

// pass writes what differs and returns the delay until the next pass.
func (w *Writer) pass(ctx context.Context) time.Duration {
	if !w.objects.Synced() {
		w.report(w.objects.Refusal())
		return kube.RecheckInterval
	}
	r := w.cfg.Reachability()
	var err error
	switch {
	case r.State == plan.NotMember && r.Guarded:
		err = w.keep(ctx)
	case r.State == plan.NotMember:
		err = w.withdraw(ctx, r.Self.Name())
	case r.State == plan.IsMember && r.Federation.ID != "" && r.Synced:
		err = w.publish(ctx, View{Reachability: r, Addresses: w.cfg.Addresses(), Tunnel: w.cfg.Tunnel})
	}
	w.report(err)
	return kube.NextPass(err)
}

// probesChanged is closed at the next change of the silent siblings. It is nil, and
// blocks indefinitely, without a prober.
func (w *Writer) probesChanged() <-chan struct{} {
	if w.cfg.SiblingProber == nil {
		return nil
	}
	return w.cfg.SiblingProber.Changed()
}

// publish writes the view. It drops the entries of a sibling once each time the
// sibling falls silent: one that is alive after all writes its entries again, and
// they stay.
func (w *Writer) publish(ctx context.Context, v View) error {
	var silent map[string]time.Time
	if w.cfg.SiblingProber != nil {
		silent = w.cfg.SiblingProber.Silent()
	}
	for name, since := range silent {
		if handled, ok := w.handledSilent[name]; !ok || !handled.Equal(since) {
			v.Silent = append(v.Silent, name)
		}
	}
	err := w.write(ctx, v)
	if err == nil {
		w.handledSilent = silent
	}
	return err
}

func (w *Writer) report(err error) {
	if w.failure.IsNew(err) {
		w.cfg.Log.Warn("failed to update the Datacenter objects", "err", err)
	}
}

// write writes one object for each member and deletes those of former members.
func (w *Writer) write(ctx context.Context, v View) error {
	have, err := w.objects.List()
	for _, dc := range v.Datacenters {
		err = errors.Join(err, w.put(ctx, have[string(dc.Name)], v, dc))
		delete(have, string(dc.Name))
	}
	for _, gone := range have {
		if gone.Labels[kube.ManagedByLabel] == kube.ManagedBy {
			err = errors.Join(err, w.delete(ctx, gone))
		}
	}
	return err
}

// withdraw removes the entries of a gateway that is no longer a member. An object
// without any entry is deleted.
func (w *Writer) withdraw(ctx context.Context, self string) error {
	have, err := w.objects.List()
	for _, dc := range have {
		remaining, had := withoutGateway(dc.Status, self)
		switch {
		case !had:
		case len(remaining.Through) == 0:
			err = errors.Join(err, w.delete(ctx, dc))
		default:
			dc.Status = remaining
			err = errors.Join(err, w.objects.UpdateStatus(ctx, dc))
		}
	}
	return err
}

// keep marks the objects of a federation that was left. They stay while the gateways drop
// packets to its datacenters, so that nodes send them nowhere else.
func (w *Writer) keep(ctx context.Context) error {
	have, err := w.objects.List()
	for _, dc := range have {
		before := dc.Status
		dc.Status.Conditions = slices.Clone(before.Conditions)
		dc.Status.setLeft(dc.Generation, time.Now())
		if dc.Labels[kube.ManagedByLabel] == kube.ManagedBy && !reflect.DeepEqual(before, dc.Status) {
			err = errors.Join(err, w.objects.UpdateStatus(ctx, dc))
		}
	}
	return err
}

// put creates or updates one object. It writes nothing if nothing differs.
func (w *Writer) put(ctx context.Context, have Datacenter, v View, dc plan.DatacenterReachability) error {
	joined := have.Name == ""
	if joined {
		var err error
		labels := map[string]string{kube.ManagedByLabel: kube.ManagedBy}
		if have, err = w.objects.Create(ctx, Datacenter{ObjectMeta: metav1.ObjectMeta{Name: string(dc.Name), Labels: labels}}); err != nil {
			return err
		}
	}
	before := have.Status
	have.Status = merge(before, v, dc, have.Generation, time.Now())
	if reflect.DeepEqual(before, have.Status) {
		return nil
	}
	if err := w.objects.UpdateStatus(ctx, have); err != nil {
		return err
	}
	if joined {
		w.event(have, corev1.EventTypeNormal, reasonJoined, fmt.Sprintf("datacenter %s is in the federation", have.Name))
	} else {
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

// recordGatewayEvents records an Event for each gateway that was added or removed.
// Only the gateway that writes the change does so, hence there is one Event.
func (w *Writer) recordGatewayEvents(dc Datacenter, before []Gateway) {
	for _, c := range []struct {
		list, other  []Gateway
		reason, text string
	}{
		{dc.Status.Gateways, before, reasonGatewayAdded, "gateway %s of datacenter %s is in the federation"},
		{before, dc.Status.Gateways, reasonGatewayRemoved, "gateway %s of datacenter %s is no longer in the federation"},
	} {
		for _, g := range c.list {
			if !slices.ContainsFunc(c.other, func(o Gateway) bool { return o.Name == g.Name }) {
				w.event(dc, corev1.EventTypeNormal, c.reason, fmt.Sprintf(c.text, g.Name, dc.Name))
			}
		}
	}
}

func (w *Writer) delete(ctx context.Context, dc Datacenter) error {
	if err := w.objects.Delete(ctx, dc.Name, dc.UID); err != nil {
		return err
	}
	w.event(dc, corev1.EventTypeNormal, reasonLeft, fmt.Sprintf("datacenter %s is no longer in the federation", dc.Name))
	return nil
}

func (w *Writer) event(dc Datacenter, kind, reason, message string) {
	if w.cfg.Events == nil {
		return
	}
	w.cfg.Events.Event(&corev1.ObjectReference{
		APIVersion: Kind().GroupVersion().String(), Kind: Kind().Name, Name: dc.Name, UID: dc.UID,
	}, kind, reason, message)
}
