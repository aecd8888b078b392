package controller

import (
	"errors"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	mcsv1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"
)

// warnExport writes an Event for each condition of an export that has become bad, or
// is bad for another reason than before. kubectl describe shows it with its age.
func (r *reconciler) warnExport(export *mcsv1.ServiceExport, before []metav1.Condition) {
	if r.cfg.Events == nil {
		return
	}
	now := export.Status.Conditions
	for _, c := range now {
		old := meta.FindStatusCondition(before, c.Type)
		if bad(c, now) && (old == nil || old.Status != c.Status || old.Reason != c.Reason) {
			r.cfg.Events.Event(r.api.reference(export, mcsv1.ServiceExportKindName), corev1.EventTypeWarning, eventReason(c), c.Message)
		}
	}
}

// bad reports whether c needs an action of the user: it is false for a state that
// passes without one, and for one that another condition of all explains.
func bad(c metav1.Condition, all []metav1.Condition) bool {
	switch c.Type {
	case string(mcsv1.ServiceExportConditionConflict):
		return c.Status == metav1.ConditionTrue
	case string(mcsv1.ServiceExportConditionReady):
		return c.Status == metav1.ConditionFalse && c.Reason != string(mcsv1.ServiceExportReasonPending) &&
			!meta.IsStatusConditionFalse(all, string(mcsv1.ServiceExportConditionValid))
	}
	return c.Status == metav1.ConditionFalse
}

// reasonNameTaken is the reason of an Event if another Service has the name of one that
// Meshway has to create.
const reasonNameTaken = "NameTaken"

// warnImport writes an Event for each problem of an import that its condition Ready did
// not contain before. With CRDs that have no condition it writes one at each try, and
// the recorder counts them.
func (r *reconciler) warnImport(before, now *mcsv1.ServiceImport, problems ...error) {
	reported, ready := readiness(before).Message, readiness(now)
	if r.cfg.Events == nil || reported == ready.Message {
		return
	}
	for _, problem := range problems {
		if problem == nil || strings.Contains(reported, firstLine(problem)) {
			continue
		}
		reason := ready.Reason
		switch {
		case errors.Is(problem, errNotManaged) || errors.Is(problem, errNameTaken):
			reason = reasonNameTaken
		case reason == string(mcsv1.ServiceImportReasonPending):
			reason = "Refused" // by the API server: pending would be wrong
		}
		r.cfg.Events.Event(r.api.reference(now, mcsv1.ServiceImportKindName), corev1.EventTypeWarning, reason, firstLine(problem))
	}
}

// readiness returns the condition Ready, zero if there is none.
func readiness(i *mcsv1.ServiceImport) metav1.Condition {
	if c := meta.FindStatusCondition(i.Status.Conditions, string(mcsv1.ServiceImportConditionReady)); c != nil {
		return *c
	}
	return metav1.Condition{}
}

// reference returns a reference to object in the served version, by which kubectl
// selects Events.
func (a api) reference(object metav1.Object, kind string) *corev1.ObjectReference {
	return &corev1.ObjectReference{
		APIVersion: a.version.String(), Kind: kind,
		Namespace: object.GetNamespace(), Name: object.GetName(), UID: object.GetUID(),
	}
}

// eventReason returns the reason of the Event for c. It is a single word, so for a list
// of conflicts it is Conflict.
func eventReason(c metav1.Condition) string {
	if c.Type == string(mcsv1.ServiceExportConditionConflict) {
		return c.Type
	}
	return c.Reason
}
