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
	"github.com/meshway/meshway/agent/notify"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/replica"
)

// reconciler writes the objects that package mcs computes, name by name.
type reconciler struct {
	cfg       Config
	api       api
	cache     *clusterCache
	publisher *publisher // set while this gateway is elected

	// observed is the last observation of Controller.observe. reconcile reads no newer
	// state: it could act on a change that is reverted before the next observation,
	// and observe would not queue the name again.
	observed atomic.Pointer[observation]
}

// errNotMember is returned while this datacenter is not in the catalog: nothing may be
// deleted because of an empty catalog.
var errNotMember = errors.New("this datacenter is not in the catalog yet")

// publishAll sets the publications of all exports before the publisher starts, which
// deletes all other records of this datacenter. It waits until this datacenter is a
// member, and reports false if ctx ends before.
func (r *reconciler) publishAll(ctx context.Context) bool {
	return notify.LoopUntil(ctx, 0, func(context.Context) bool {
		now := observeNow(r.cfg)
		dc, member := now.view.Datacenter(r.cfg.Datacenter)
		if !member {
			return false
		}
		r.observed.Store(&now)
		for _, name := range r.cache.names() {
			r.publisher.set(name, mcs.Publish(dc, r.cache.source(name)))
		}
		return true
	}, r.cfg.Catalog.Changed)
}

func (r *reconciler) reconcile(ctx context.Context, name catalog.ServiceName) error {
	now := r.observed.Load()
	view := now.view
	dc, member := view.Datacenter(r.cfg.Datacenter)
	if !member {
		return errNotMember
	}
	source := r.cache.source(name)
	rivals := mcs.Rivals(view, name)
	own := mcs.Publish(dc, source).WithRivals(rivals)
	r.publisher.set(name, own)
	filter := replica.ExportFilter{Namespace: name.Namespace, Name: name.Name}
	plan := mcs.Plan(mcs.Input{
		Name:       name,
		Datacenter: dc.Name,
		Exports:    view.Exports(filter),
		Rivals:     rivals,
		Slices:     view.EndpointSlices(filter),
		Registered: mcs.Registered(view, name, r.cache.origins(name.Namespace)),
		Own:        own,
		Preference: preference(source.Export, r.cache.serviceImport(name)),
		Outage:     now.outage,
		Namespace:  r.cache.namespace(name.Namespace),
	})
	return errors.Join(
		r.writeConditions(ctx, source.Export, own, plan.Conflict, mcs.Written(view, own), r.publisher.refusal(name)),
		r.writeImport(ctx, name, plan),
	)
}

// preference returns the preference of this cluster, from its export or, without one,
// from its import.
func preference(export *mcsv1.ServiceExport, imported *mcsv1.ServiceImport) mcs.Preference {
	var annotations map[string]string
	switch {
	case export != nil && export.DeletionTimestamp == nil:
		annotations = export.Annotations
	case imported != nil:
		annotations = imported.Annotations
	}
	p, _ := mcs.PreferenceOf(annotations) // the condition Valid of an export has what it ignores
	return p
}

// writeConditions writes the conditions of this cluster's ServiceExport, nil if there is
// none.
func (r *reconciler) writeConditions(ctx context.Context, export *mcsv1.ServiceExport, own mcs.Publication, conflict metav1.Condition,
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
	r.api.fields.pruneConditions(*conditions)
	if equality.Semantic.DeepEqual(export.Status, next.Status) {
		return nil
	}
	_, err := r.api.exports(next.Namespace).UpdateStatus(ctx, next, metav1.UpdateOptions{})
	if err != nil {
		return fmt.Errorf("update conditions of ServiceExport: %w", err)
	}
	r.warnExport(next, export.Status.Conditions)
	return nil
}

// writeImport writes the objects of plan. The ServiceImport owns the others, so it is
// created first and deleted last.
func (r *reconciler) writeImport(ctx context.Context, name catalog.ServiceName, plan mcs.Import) error {
	w := writer{cfg: r.cfg, api: r.api, cache: r.cache, name: name}
	if plan.ServiceImport == nil {
		return errors.Join(w.slices(ctx, nil), w.mirrors(ctx, plan), w.deleteService(ctx), w.deleteImport(ctx))
	}
	r.api.fields.pruneImport(plan.ServiceImport)
	owner, err := w.serviceImport(ctx, plan.ServiceImport)
	if err != nil {
		return err
	}
	w.owner = r.api.owner(owner)
	mirrorErr := w.mirrors(ctx, plan)
	derived, serviceErr := w.service(ctx, plan.Service, owner)
	all := slices.Concat(plan.Slices, plan.MirrorSlices)
	var serviceProblem, mirrorProblem error // that need an action of the user
	if apierrors.IsInvalid(serviceErr) && !errors.Is(serviceErr, errAddressHeld) || errors.Is(serviceErr, errNotManaged) {
		serviceProblem = serviceErr
	}
	if errors.Is(mirrorErr, errNotManaged) || errors.Is(mirrorErr, errNameTaken) {
		mirrorProblem = mirrorErr
	}
	if derived == nil && serviceErr != nil && serviceProblem == nil {
		return errors.Join(serviceErr, mirrorErr, w.slices(ctx, all)) // the IPs are unknown until the next try
	}
	next := completeImport(owner, plan, derived, serviceProblem, mirrorProblem)
	statusErr := w.writeImportStatus(ctx, owner, next)
	if statusErr == nil {
		r.warnImport(owner, next, serviceProblem, mirrorProblem)
	}
	return errors.Join(serviceErr, mirrorErr, w.slices(ctx, all), statusErr)
}

// completeImport returns owner with the IPs of its derived Service and with the status of
// plan. The problems, nil for none, are those of the derived Service and of a mirror.
func completeImport(owner *mcsv1.ServiceImport, plan mcs.Import, derived *corev1.Service, serviceProblem, mirrorProblem error) *mcsv1.ServiceImport {
	next := owner.DeepCopy()
	next.Spec.IPs, next.Spec.IPFamilies = nil, plan.ServiceImport.Spec.IPFamilies
	next.Status.Clusters = plan.ServiceImport.Status.Clusters
	next.Status.EndpointSliceObjects = plan.ServiceImport.Status.EndpointSliceObjects
	text := ""
	if serviceProblem != nil {
		text = serviceProblem.Error()
	}
	mcs.CompleteImport(next, derived, text)
	if mirrorProblem != nil {
		mcs.AppendProblem(next, mirrorProblem.Error())
	}
	if plan.Notice != "" {
		mcs.AppendProblem(next, plan.Notice)
	}
	conditions := next.Status.Conditions
	next.Status.Conditions = slices.Clone(owner.Status.Conditions)
	for _, c := range conditions { // keeps the transition time of one that does not change
		meta.SetStatusCondition(&next.Status.Conditions, c)
	}
	return next
}
