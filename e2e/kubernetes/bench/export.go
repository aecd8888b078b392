//go:build linux

package bench

import (
	"context"
	"fmt"
	"time"

	"github.com/meshway/meshway/e2e/harness"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	mcsv1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"
)

// measureExport measures the time from the creation of a ServiceExport until a
// pod of the other cluster, which sends requests to the name all the time,
// receives an answer.
func (b *Bench) measureExport(ctx context.Context, r *Result) error {
	var values []float64
	for i := range b.cfg.Exports {
		took, err := b.exportOnce(ctx, fmt.Sprintf("web-%d", i))
		if err != nil {
			return err
		}
		b.logf("export %d: %.0f ms", i+1, took)
		values = append(values, took)
	}
	r.ExportToRequest = r.addSpread("export_to_request_ms", values)
	return nil
}

func (b *Bench) exportOnce(ctx context.Context, name string) (float64, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	if err := b.east.createService(ctx, name, "server"); err != nil {
		return 0, err
	}
	client, err := b.startClient(ctx, "http://"+name+"."+namespace+".svc.clusterset.local/")
	if err != nil {
		return 0, err
	}
	defer client.stop()
	started := time.Now()
	if err := b.east.export(ctx, name); err != nil {
		return 0, err
	}
	answered, err := client.awaitAnswer()
	return milliseconds(started, answered), err
}

// createService creates a Service of pods with the label app and waits until it
// has endpoints.
func (s *member) createService(ctx context.Context, name, app string) error {
	_, err := s.core.CoreV1().Services(namespace).Create(ctx, &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec: corev1.ServiceSpec{
			Selector: map[string]string{"app": app},
			Ports:    []corev1.ServicePort{{Name: "http", Port: 80, TargetPort: intstr.FromInt32(8080)}},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		return fmt.Errorf("create service: %w", err)
	}
	return harness.Wait(ctx, "service "+name+" has endpoints", func(ctx context.Context) error {
		list, err := s.core.DiscoveryV1().EndpointSlices(namespace).List(ctx,
			metav1.ListOptions{LabelSelector: discoveryv1.LabelServiceName + "=" + name})
		if err == nil && (len(list.Items) == 0 || len(list.Items[0].Endpoints) == 0) {
			err = fmt.Errorf("there are %d slices", len(list.Items))
		}
		return err
	})
}

func (s *member) export(ctx context.Context, name string) error {
	_, err := s.mcs.MulticlusterV1beta1().ServiceExports(namespace).Create(ctx,
		&mcsv1.ServiceExport{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}, metav1.CreateOptions{})
	if err != nil {
		return fmt.Errorf("export service: %w", err)
	}
	return nil
}
