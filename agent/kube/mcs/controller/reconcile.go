package controller

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	mcsv1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/meshway/meshway/agent/kube/mcs"
	"github.com/meshway/meshway/consensus/catalog"
)

// reconciler brings one name after the other to what package mcs decides.
type reconciler struct {
	conf      Config
	api       api
	local     *local
	publisher *publisher // while this gateway does the work

	// seen is what watch saw last, and queued for. Nobody else looks: a change
	// that comes and goes between two of its looks would be acted on by some, and
	// watch, to which both looks are the same, would have nobody undo it.
	seen atomic.Pointer[seen]
}

// errNotMember: an empty catalog is no reason to delete anything.
var errNotMember = errors.New("this datacenter is not in the catalog yet")

// publishAll tells the publisher of every export before it begins: what it does
// not know it would delete. False: ctx ended before this was a member.
func (r *reconciler) publishAll(ctx context.Context) bool {
	for {
		changed := r.conf.Catalog.Changed()
		now := look(r.conf)
		dc, member := now.view.Datacenter(r.conf.Datacenter)
		if member {
			r.seen.Store(&now)
			for _, name := range r.local.names() {
				r.publisher.set(name, mcs.Publish(dc, r.local.source(name)))
			}
			return true
		}
		select {
		case <-ctx.Done():
			return false
		case <-changed:
		}
	}
}

func (r *reconciler) reconcile(ctx context.Context, name catalog.ServiceName) error {
	now := r.seen.Load()
	view := now.view
	dc, member := view.Datacenter(r.conf.Datacenter)
	if !member {
		return errNotMember
	}
	source := r.local.source(name)
	own := mcs.Publish(dc, source)
	r.publisher.set(name, own)
	filter := catalog.ExportFilter{Namespace: name.Namespace, Name: name.Name}
	plan := mcs.Plan(mcs.Input{
		Name: name, Datacenter: dc.Name, Exports: view.Exports(filter), Slices: view.EndpointSlices(filter),
		Own: own, Outage: now.outage, Namespace: r.local.namespace(name.Namespace),
	})
	return errors.Join(
		r.tell(ctx, source.Export, own, plan.Conflict, mcs.Written(view, own), r.publisher.refusal(name)),
		r.bring(ctx, name, plan),
	)
}

// tell writes the conditions of this cluster's ServiceExport.
func (r *reconciler) tell(ctx context.Context, export *mcsv1.ServiceExport, own mcs.Publication, conflict metav1.Condition,
	written bool, refusal *catalog.Refusal,
) error {
	if export == nil || export.DeletionTimestamp != nil {
		return nil
	}
	next := export.DeepCopy()
	conditions := &next.Status.Conditions
	meta.SetStatusCondition(conditions, own.Valid)
	meta.SetStatusCondition(conditions, mcs.ReadyCondition(own, written, refusal))
	if written && conflict.Type != "" {
		conflict.ObservedGeneration = export.Generation
		meta.SetStatusCondition(conditions, conflict)
	}
	if own.Export == nil {
		meta.RemoveStatusCondition(conditions, string(mcsv1.ServiceExportConditionConflict))
	}
	r.api.keeps.ofConditions(*conditions)
	if equality.Semantic.DeepEqual(export.Status, next.Status) {
		return nil
	}
	_, err := r.api.exports(next.Namespace).UpdateStatus(ctx, next, metav1.UpdateOptions{})
	if err != nil {
		return fmt.Errorf("write conditions of ServiceExport: %w", err)
	}
	r.warn(next, export.Status.Conditions)
	return nil
}

// bring makes the cluster have what plan says. The ServiceImport comes first and
// goes last: it owns the others.
func (r *reconciler) bring(ctx context.Context, name catalog.ServiceName, plan mcs.Import) error {
	w := writer{conf: r.conf, api: r.api, local: r.local, name: name}
	if plan.ServiceImport == nil {
		return errors.Join(w.slices(ctx, nil), w.mirrors(ctx, nil), w.deleteService(ctx), w.deleteImport(ctx))
	}
	r.api.keeps.ofImport(plan.ServiceImport)
	owner, err := w.serviceImport(ctx, plan.ServiceImport)
	if err != nil {
		return err
	}
	w.owner = r.api.owner(owner)
	mirrors := w.mirrors(ctx, plan.Mirrors)
	wanted := slices.Concat(plan.Slices, plan.MirrorSlices)
	derived, failure := w.service(ctx, plan.Service)
	var problem, taken error // which do not pass by themselves
	if apierrors.IsInvalid(failure) || errors.Is(failure, errForeign) {
		problem = failure
	}
	if errors.Is(mirrors, errForeign) {
		taken = mirrors
	}
	if derived == nil && failure != nil && problem == nil {
		return errors.Join(failure, mirrors, w.slices(ctx, wanted)) // its addresses are not known now
	}
	next := complete(owner, plan.ServiceImport, derived, problem, taken)
	finished := w.finish(ctx, owner, next)
	if finished == nil {
		r.warnImport(owner, next, problem, taken)
	}
	return errors.Join(failure, mirrors, w.slices(ctx, wanted), finished)
}

// complete is a ServiceImport with its IPs and status: what its derived Service
// got, and what is wrong with that or with a mirror.
func complete(owner, plan *mcsv1.ServiceImport, derived *corev1.Service, problem, taken error) *mcsv1.ServiceImport {
	next := owner.DeepCopy()
	next.Spec.IPs, next.Spec.IPFamilies = nil, plan.Spec.IPFamilies
	next.Status.Clusters = plan.Status.Clusters
	next.Status.EndpointSliceObjects = plan.Status.EndpointSliceObjects
	text := ""
	if problem != nil {
		text = problem.Error()
	}
	mcs.Assign(next, derived, text)
	if taken != nil {
		mcs.Complain(next, taken.Error())
	}
	fresh := next.Status.Conditions
	next.Status.Conditions = slices.Clone(owner.Status.Conditions)
	for _, f := range fresh { // keeps since when
		meta.SetStatusCondition(&next.Status.Conditions, f)
	}
	return next
}
