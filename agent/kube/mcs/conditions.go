package mcs

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	mcsv1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/meshway/meshway/consensus/catalog"
)

// CompleteImport sets the clusterset IPs, their families in the same order, and the
// condition Ready of i from its derived Service. service is nil while the Service
// does not exist. problem is the reason why it could not be written, empty if none.
func CompleteImport(i *mcsv1.ServiceImport, service *corev1.Service, problem string) {
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

// AppendProblem appends problem to the messages of the conditions of i. It does not
// change their status: i remains usable.
func AppendProblem(i *mcsv1.ServiceImport, problem string) {
	for n := range i.Status.Conditions {
		i.Status.Conditions[n].Message = shorten(i.Status.Conditions[n].Message + "; " + problem)
	}
}

// ReadyCondition returns the condition Ready of a ServiceExport. written is whether
// the catalog holds the publication; refusal is the catalog's, nil if there is none.
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
		return set(metav1.ConditionFalse, mcsv1.ServiceExportReasonFailed, "the catalog refuses the export: "+shorten(refusal.Error()))
	case !written:
		return set(metav1.ConditionFalse, mcsv1.ServiceExportReasonPending, "waiting to be written into the catalog")
	case len(p.Excluded) > 0:
		return set(metav1.ConditionTrue, mcsv1.ServiceExportReasonExported, fmt.Sprintf(
			"exported without %d endpoints, such as %s, that are outside the prefixes of this datacenter: announce a prefix that contains them",
			len(p.Excluded), p.Excluded[0]))
	}
	return set(metav1.ConditionTrue, mcsv1.ServiceExportReasonExported, "exported to all members of the federation")
}
