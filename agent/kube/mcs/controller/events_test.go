package controller

import (
	"testing"

	"github.com/stretchr/testify/assert"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/record"
	mcsv1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"
)

func TestEventIsWrittenOnceForABadCondition(t *testing.T) {
	condition := func(kind string, status metav1.ConditionStatus, reason, message string) metav1.Condition {
		return metav1.Condition{Type: kind, Status: status, Reason: reason, Message: message}
	}
	conflict := condition("Conflict", metav1.ConditionTrue, "PortConflict,TypeConflict", "ports differ")
	for name, c := range map[string]struct {
		before, now metav1.Condition
		beside      []metav1.Condition // conditions before and after
		want        []string
	}{
		"conflict":               {now: conflict, want: []string{"Warning Conflict ports differ"}},
		"the same conflict":      {before: conflict, now: conflict},
		"no conflict":            {before: conflict, now: condition("Conflict", metav1.ConditionFalse, "NoConflicts", "")},
		"missing Service":        {now: condition("Valid", metav1.ConditionFalse, "NoService", "no"), want: []string{"Warning NoService no"}},
		"ExternalName":           {now: condition("Valid", metav1.ConditionFalse, "InvalidServiceType", "no"), want: []string{"Warning InvalidServiceType no"}},
		"refused":                {now: condition("Ready", metav1.ConditionFalse, "Failed", "refused"), want: []string{"Warning Failed refused"}},
		"pending":                {now: condition("Ready", metav1.ConditionFalse, "Pending", "soon")},
		"explained by Valid":     {now: condition("Ready", metav1.ConditionFalse, "Failed", "not valid"), beside: []metav1.Condition{condition("Valid", metav1.ConditionFalse, "NoService", "no")}},
		"exported":               {now: condition("Ready", metav1.ConditionTrue, "Exported", "")},
		"bad for another reason": {before: condition("Valid", metav1.ConditionFalse, "NoService", ""), now: condition("Valid", metav1.ConditionFalse, "InvalidServiceType", "no"), want: []string{"Warning InvalidServiceType no"}},
	} {
		t.Run(name, func(t *testing.T) {
			events := record.NewFakeRecorder(10)
			r := reconciler{cfg: Config{Events: events}}
			r.warnExport(&mcsv1.ServiceExport{Status: mcsv1.ServiceExportStatus{Conditions: append(c.beside, c.now)}}, append(c.beside, c.before))
			close(events.Events)
			var got []string
			for e := range events.Events {
				got = append(got, e)
			}
			assert.Equal(t, c.want, got)
		})
	}
}
