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
	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/agent/status"
)

// passTimeout bounds what a slow API server can hold up.
const passTimeout = 15 * time.Second

// errMissing: the API server serves no version of the About API.
var errMissing = errors.New("the CRD clusterproperties.about.k8s.io is not installed")

// Config is what a Writer needs.
type Config struct {
	Client   dynamic.Interface
	Events   record.EventRecorder   // nil: none are written
	Snapshot func() status.Snapshot // of the own gateway
	Changed  func() <-chan struct{} // closed at the next change of Snapshot
	Report   func([]plan.Problem)   // takes what is wrong now, if that has changed; nil: nobody does
	Log      *slog.Logger           // nil: discarded
}

// Writer keeps the properties of the own cluster as they should be. All gateways
// write the same, so it needs no election; the properties are few and change
// with the membership only, so it looks instead of watching.
type Writer struct {
	cfg      Config
	reported string          // what the last pass complained of
	events   map[string]bool // conflicts of which an Event tells, by name and value
}

// NewWriter returns a Writer that does nothing until it runs.
func NewWriter(conf Config) *Writer {
	if conf.Log == nil {
		conf.Log = slog.New(slog.DiscardHandler)
	}
	return &Writer{cfg: conf, events: make(map[string]bool)}
}

// Run writes until ctx ends; the properties stay.
func (w *Writer) Run(ctx context.Context) error {
	for {
		changed := w.cfg.Changed()
		s := w.cfg.Snapshot()
		pause := w.pass(ctx, s)
		retry := time.After(pause)
		for waiting := true; waiting; {
			select {
			case <-ctx.Done():
				return nil
			case <-retry:
				waiting = false
			case <-changed:
				changed = w.cfg.Changed()
				// Most changes of a gateway have nothing to do with this.
				waiting = desiredState(s).equal(desiredState(w.cfg.Snapshot()))
			}
		}
	}
}

func (w *Writer) pass(ctx context.Context, s status.Snapshot) time.Duration {
	want := desiredState(s)
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
	if err != nil {
		return kube.RetryInterval
	}
	return kube.RecheckInterval
}

// reportReadError tells why the properties cannot be read; who is no member has none
// to write, and nothing to say.
func (w *Writer) reportReadError(want map[string]string, err error) time.Duration {
	if len(want) == 0 {
		w.report(nil)
		return kube.RecheckInterval
	}
	w.report([]plan.Problem{problem(err)})
	if errors.Is(err, errMissing) || apierrors.IsForbidden(err) {
		return kube.RecheckInterval
	}
	return kube.RetryInterval
}

// find reads the properties in the first version that is served.
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

// apply carries c out. An object that somebody else wrote first is looked at again
// by the next pass.
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

// conflict is what an operator reads of a property that is another manager's.
func (w *Writer) conflict(object *unstructured.Unstructured, want string) plan.Problem {
	name := object.GetName()
	p := plan.Problem{
		Code: "cluster-property-conflict", Severity: plan.Warning, Subject: "ClusterProperty " + name,
		Message: fmt.Sprintf("another manager set it to %q, and Meshway would set %q: it is left as it is", valueOf(object), want),
		Remedy:  "delete the object, and Meshway writes it, or take this cluster out of the other cluster set",
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

func problem(err error) plan.Problem {
	p := plan.Problem{
		Code: "cluster-property-unwritten", Severity: plan.Warning, Subject: "ClusterProperty", Message: err.Error(),
		Remedy: "see whether the API server answers; all else goes on",
	}
	switch {
	case errors.Is(err, errMissing):
		p.Remedy = "kubectl apply -f deploy/chart/meshway/crds; all else goes on, and it is found without a restart"
	case apierrors.IsForbidden(err):
		p.Remedy = "grant the ClusterRole of the chart; all else goes on"
	}
	return p
}

// report logs and reports what is new.
func (w *Writer) report(problems []plan.Problem) {
	text := fmt.Sprint(problems)
	if text == w.reported || w.reported == "" && len(problems) == 0 {
		return
	}
	w.reported = text
	for _, p := range problems {
		w.cfg.Log.Warn("cluster property", "subject", p.Subject, "problem", p.Message, "remedy", p.Remedy)
	}
	if w.cfg.Report != nil {
		w.cfg.Report(problems)
	}
}
