package mcs

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	mcsv1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/meshway/meshway/consensus/catalog"
)

// Assign completes a ServiceImport by what its derived Service got: the
// clusterset IPs and, in their order, their families. Nil: there is no such
// Service yet, or none because of problem.
func Assign(i *mcsv1.ServiceImport, service *corev1.Service, problem string) {
	ready := metav1.Condition{
		Type: string(mcsv1.ServiceImportConditionReady), Status: metav1.ConditionTrue,
		Reason: string(mcsv1.ServiceImportReasonReady), Message: "the service can be used",
	}
	if i.Spec.Type == mcsv1.ClusterSetIP {
		if service != nil {
			i.Spec.IPs, i.Spec.IPFamilies = service.Spec.ClusterIPs, service.Spec.IPFamilies
		}
		if len(i.Spec.IPs) == 0 {
			ready.Status, ready.Reason = metav1.ConditionFalse, string(mcsv1.ServiceImportReasonPending)
			ready.Message = "waiting for the address of " + i.Annotations[DerivedServiceAnnotation]
		}
		if problem != "" {
			ready.Status, ready.Message = metav1.ConditionFalse, problem
			ready.Reason = string(mcsv1.ServiceImportReasonPending)
			if strings.Contains(problem, "ipFamilies") {
				ready.Reason = string(mcsv1.ServiceImportReasonIPFamilyNotSupported)
			}
		}
	}
	i.Status.Conditions = []metav1.Condition{ready}
}

// Complain adds to what a ServiceImport says of itself; it can be used all the same.
func Complain(i *mcsv1.ServiceImport, problem string) {
	for n := range i.Status.Conditions {
		i.Status.Conditions[n].Message = shorten(i.Status.Conditions[n].Message + "; " + problem)
	}
}

// ReadyCondition says how far the export has come. Written: the catalog says
// what it should. The refusal is the catalog's, nil if there is none.
func ReadyCondition(p Publication, written bool, refusal *catalog.Refusal) metav1.Condition {
	c := metav1.Condition{Type: string(mcsv1.ServiceExportConditionReady), ObservedGeneration: p.Valid.ObservedGeneration}
	set := func(status metav1.ConditionStatus, reason mcsv1.ServiceExportConditionReason, message string) metav1.Condition {
		c.Status, c.Reason, c.Message = status, string(reason), message
		return c
	}
	switch {
	case p.Export == nil:
		return set(metav1.ConditionFalse, mcsv1.ServiceExportReasonFailed, "the export is not valid")
	case refusal != nil:
		return set(metav1.ConditionFalse, mcsv1.ServiceExportReasonFailed, "the catalog refuses it: "+shorten(refusal.Error()))
	case !written:
		return set(metav1.ConditionFalse, mcsv1.ServiceExportReasonPending, "waiting for the catalog to take it")
	case len(p.Foreign) > 0:
		return set(metav1.ConditionTrue, mcsv1.ServiceExportReasonExported, fmt.Sprintf(
			"exported without %d endpoints, such as %s, that are in no prefix of this datacenter: announce theirs",
			len(p.Foreign), p.Foreign[0]))
	}
	return set(metav1.ConditionTrue, mcsv1.ServiceExportReasonExported, "all members of the federation know it")
}
