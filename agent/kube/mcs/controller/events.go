package controller

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/record"
	mcsv1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"
)

// warn writes an Event for each condition of an object that has turned bad, or is
// bad for another reason now: kubectl describe shows it with its age.
func warn(events record.EventRecorder, object metav1.Object, kind string, before, now []metav1.Condition) {
	if events == nil {
		return
	}
	for _, c := range now {
		old := meta.FindStatusCondition(before, c.Type)
		if !bad(c) || old != nil && old.Status == c.Status && old.Reason == c.Reason {
			continue
		}
		events.Event(&corev1.ObjectReference{
			APIVersion: mcsv1.GroupVersion.String(), Kind: kind,
			Namespace: object.GetNamespace(), Name: object.GetName(), UID: object.GetUID(),
		}, corev1.EventTypeWarning, eventReason(c), c.Message)
	}
}

// bad leaves out what passes by itself, and what another condition tells already.
func bad(c metav1.Condition) bool {
	switch c.Type {
	case string(mcsv1.ServiceExportConditionConflict):
		return c.Status == metav1.ConditionTrue
	case string(mcsv1.ServiceExportConditionReady):
		return c.Status == metav1.ConditionFalse && c.Reason != string(mcsv1.ServiceExportReasonPending) && c.Message != invalidExport
	}
	return c.Status == metav1.ConditionFalse
}

// invalidExport is what Ready says of an export of which Valid says more.
const invalidExport = "the export is not valid"

// eventReason: of several conflicts Conflict, since a reason is one word.
func eventReason(c metav1.Condition) string {
	if c.Type == string(mcsv1.ServiceExportConditionConflict) {
		return c.Type
	}
	return c.Reason
}
