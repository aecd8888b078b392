package kube

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/tools/record"
)

// Events records Events in the cluster. It never blocks; Events that the API server
// does not accept are dropped.
type Events struct {
	record.EventRecorder
	client      kubernetes.Interface
	broadcaster record.EventBroadcaster
}

// NewEvents returns a recorder that keeps events until it runs.
func NewEvents(client kubernetes.Interface, component string) *Events {
	broadcaster := record.NewBroadcaster()
	return &Events{
		EventRecorder: broadcaster.NewRecorder(runtime.NewScheme(), corev1.EventSource{Component: component}),
		client:        client, broadcaster: broadcaster,
	}
}

// Run writes events until ctx ends.
func (e *Events) Run(ctx context.Context) error {
	sink := e.broadcaster.StartRecordingToSink(&typedcorev1.EventSinkImpl{Interface: e.client.CoreV1().Events(corev1.NamespaceAll)})
	<-ctx.Done()
	sink.Stop()
	e.broadcaster.Shutdown()
	return nil
}
