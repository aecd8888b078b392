package controller

import (
	"errors"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	mcsv1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"
)

// warn writes an Event for each condition of an export that has turned bad, or is
// bad for another reason now: kubectl describe shows it with its age.
func (r *reconciler) warn(export *mcsv1.ServiceExport, before []metav1.Condition) {
	if r.conf.Events == nil {
		return
	}
	now := export.Status.Conditions
	for _, c := range now {
		old := meta.FindStatusCondition(before, c.Type)
		if bad(c, now) && (old == nil || old.Status != c.Status || old.Reason != c.Reason) {
			r.conf.Events.Event(r.api.reference(export, mcsv1.ServiceExportKindName), corev1.EventTypeWarning, eventReason(c), c.Message)
		}
	}
}

// bad leaves out what passes by itself, and what another condition tells already.
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

// reasonNameTaken: a Service has the name of one that Meshway has to make.
const reasonNameTaken = "NameTaken"

// warnImport writes an Event for each of the problems of an import that its
// condition did not tell before. Where CRDs keep no condition it comes with each
// try, and the recorder counts it.
func (r *reconciler) warnImport(before, now *mcsv1.ServiceImport, problems ...error) {
	told, ready := readiness(before).Message, readiness(now)
	if r.conf.Events == nil || told == ready.Message {
		return
	}
	for _, problem := range problems {
		if problem == nil || strings.Contains(told, oneLine(problem)) {
			continue
		}
		reason := ready.Reason
		switch {
		case errors.Is(problem, errForeign):
			reason = reasonNameTaken
		case reason == string(mcsv1.ServiceImportReasonPending):
			reason = "Refused" // by the API server, and that does not pass
		}
		r.conf.Events.Event(r.api.reference(now, mcsv1.ServiceImportKindName), corev1.EventTypeWarning, reason, oneLine(problem))
	}
}

func readiness(i *mcsv1.ServiceImport) metav1.Condition {
	if c := meta.FindStatusCondition(i.Status.Conditions, string(mcsv1.ServiceImportConditionReady)); c != nil {
		return *c
	}
	return metav1.Condition{}
}

// reference is by the version that is served, by which kubectl looks for Events.
func (a api) reference(object metav1.Object, kind string) *corev1.ObjectReference {
	return &corev1.ObjectReference{
		APIVersion: a.version.String(), Kind: kind,
		Namespace: object.GetNamespace(), Name: object.GetName(), UID: object.GetUID(),
	}
}

// eventReason: of several conflicts Conflict, since a reason is one word.
func eventReason(c metav1.Condition) string {
	if c.Type == string(mcsv1.ServiceExportConditionConflict) {
		return c.Type
	}
	return c.Reason
}
