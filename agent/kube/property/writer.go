package property

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/tools/record"

	"github.com/meshway/meshway/agent/kube"
	"github.com/meshway/meshway/agent/notify"
	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/agent/problemlog"
)

// passTimeout is the timeout of all requests of one pass.
const passTimeout = 15 * time.Second

// errMissing means that the API server serves no version of the About API.
var errMissing = errors.New("the CRD clusterproperties.about.k8s.io is not installed")

// Config configures a Writer.
type Config struct {
	Client       dynamic.Interface
	Events       record.EventRecorder     // nil: no Events
	Reachability func() plan.Reachability // as the own gateway observes it
	Changed      func() <-chan struct{}   // closed at the next change of Reachability
	Report       func([]plan.Problem)     // receives the current problems at each change; may be nil
	Log          *slog.Logger             // nil: discarded
}

// Writer keeps the properties of the own cluster up to date. All gateways write the
// same values, so there is no election. It polls instead of watching because the
// properties are few and change only with the membership.
type Writer struct {
	cfg      Config
	last     desired         // state that was written last
	next     time.Time       // when it is compared again
	reported string          // problems of the last write
	events   map[string]bool // conflicts that have an Event, by name and value
}

// NewWriter returns a Writer that does nothing until it runs.
func NewWriter(cfg Config) *Writer {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Writer{cfg: cfg, events: make(map[string]bool)}
}

// Run writes until ctx ends; the properties stay.
func (w *Writer) Run(ctx context.Context) error {
	notify.Loop(ctx, w.pass, w.cfg.Changed)
	return nil
}

// pass writes the properties and returns the delay until the next pass. Until that
// delay has elapsed it writes only another desired state: most changes of a gateway do
// not concern the properties.
func (w *Writer) pass(ctx context.Context) time.Duration {
	want := desiredState(w.cfg.Reachability())
	if left := time.Until(w.next); left > 0 && want.equal(w.last) {
		return left
	}
	delay := w.write(ctx, want)
	w.last, w.next = want, time.Now().Add(delay)
	return delay
}

// write writes what differs and returns the delay until the next comparison.
func (w *Writer) write(ctx context.Context, want desired) time.Duration {
	if !want.known {
		return kube.RecheckInterval
	}
	ctx, cancel := context.WithTimeout(ctx, passTimeout)
	defer cancel()
	resource, have, err := find(ctx, w.cfg.Client)
	if err != nil {
		return w.reportReadError(want.values, err)
	}
	c := diff(have, want, resource.GroupVersion().String())
	err = w.apply(ctx, w.cfg.Client.Resource(resource), c)
	var problems []plan.Problem
	for _, object := range c.conflicting {
		problems = append(problems, w.conflict(object, want.values[object.GetName()]))
	}
	if err != nil {
		problems = append(problems, problem(err))
	}
	w.report(problems)
	return kube.NextPass(err)
}

// reportReadError reports why the properties cannot be read, and returns the delay
// until the next attempt. It reports nothing without properties to write.
func (w *Writer) reportReadError(values map[string]string, err error) time.Duration {
	if len(values) == 0 {
		w.report(nil)
		return kube.RecheckInterval
	}
	w.report([]plan.Problem{problem(err)})
	if errors.Is(err, errMissing) || apierrors.IsForbidden(err) {
		return kube.RecheckInterval
	}
	return kube.RetryInterval
}

// find returns the properties by name in the first version that is served.
func find(ctx context.Context, client dynamic.Interface) (schema.GroupVersionResource, map[string]*unstructured.Unstructured, error) {
	for _, resource := range resources() {
		list, err := client.Resource(resource).List(ctx, metav1.ListOptions{})
		if apierrors.IsNotFound(err) {
			continue
		}
		if err != nil {
			return resource, nil, fmt.Errorf("read ClusterProperties: %w", err)
		}
		have := make(map[string]*unstructured.Unstructured)
		for i := range list.Items {
			have[list.Items[i].GetName()] = &list.Items[i]
		}
		return resource, have, nil
	}
	return schema.GroupVersionResource{}, nil, errMissing
}

// apply performs the changes. The API server refuses a change of an object that was
// written in the meantime; the next pass compares it again.
func (w *Writer) apply(ctx context.Context, client dynamic.ResourceInterface, c changes) error {
	var failed []error
	for _, object := range c.create {
		if _, err := client.Create(ctx, object, metav1.CreateOptions{}); err != nil {
			failed = append(failed, fmt.Errorf("create ClusterProperty %s: %w", object.GetName(), err))
		}
	}
	for _, object := range c.update {
		if _, err := client.Update(ctx, object, metav1.UpdateOptions{}); err != nil {
			failed = append(failed, fmt.Errorf("update ClusterProperty %s: %w", object.GetName(), err))
		}
	}
	for _, object := range c.remove {
		if err := client.Delete(ctx, object.GetName(), preconditions(object)); err != nil && !apierrors.IsNotFound(err) {
			failed = append(failed, fmt.Errorf("delete ClusterProperty %s: %w", object.GetName(), err))
		}
	}
	return errors.Join(failed...)
}

// conflict returns the problem of a property of another manager, and records it as
// an Event once.
func (w *Writer) conflict(object *unstructured.Unstructured, want string) plan.Problem {
	name := object.GetName()
	p := plan.Problem{
		Code: "cluster-property-conflict", Severity: plan.Warning, Subject: "ClusterProperty " + name,
		Message: fmt.Sprintf("ClusterProperty %s has the value %q of another manager; Meshway does not replace it by %q", name, valueOf(object), want),
		Remedy:  "delete the object, so that Meshway creates it, or remove this cluster from the other cluster set",
	}
	key := name + "=" + valueOf(object)
	if w.cfg.Events != nil && !w.events[key] {
		w.events[key] = true
		w.cfg.Events.Event(&corev1.ObjectReference{
			APIVersion: object.GetAPIVersion(), Kind: kind, Name: name, UID: object.GetUID(),
		}, corev1.EventTypeWarning, "Conflict", p.Message)
	}
	return p
}

// problem returns the problem of properties that cannot be read or written.
func problem(err error) plan.Problem {
	p := plan.Problem{
		Code: "cluster-property-unwritten", Severity: plan.Warning, Subject: "ClusterProperty",
		Message: fmt.Sprintf("failed to update the ClusterProperty objects: %v", err),
		Remedy:  "check that the API server answers; only the ClusterProperty objects are affected",
	}
	switch {
	case errors.Is(err, errMissing):
		p.Remedy = "run kubectl apply -f deploy/chart/meshway/crds; no restart is needed, and only the ClusterProperty objects are affected"
	case apierrors.IsForbidden(err):
		p.Remedy = "grant the ClusterRole of the chart; only the ClusterProperty objects are affected"
	}
	return p
}

// report logs and reports the problems if they have changed.
func (w *Writer) report(problems []plan.Problem) {
	text := fmt.Sprint(problems)
	if text == w.reported || w.reported == "" && len(problems) == 0 {
		return
	}
	w.reported = text
	for _, p := range problems {
		problemlog.Write(w.cfg.Log, slog.LevelWarn, p)
	}
	if w.cfg.Report != nil {
		w.cfg.Report(problems)
	}
}
