package kube

import (
	"context"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/client-go/tools/cache"

	"github.com/meshway/meshway/agent/notify"
)

// Source is an informer of one kind that reports whether its content is complete.
type Source struct {
	informer cache.SharedIndexInformer
	wake     notify.Signal

	mu      sync.Mutex // guards refusal
	refusal error      // why the API server refuses to list: unknown kind or no permission
}

// NewSource returns a source that sets wake after every change once it is
// started. The informer must not have been started. slim, if not nil, removes the
// parts of an object that are not used.
func NewSource(informer cache.SharedIndexInformer, slim cache.TransformFunc, wake notify.Signal) (*Source, error) {
	s := &Source{informer: informer, wake: wake}
	if err := informer.SetWatchErrorHandlerWithContext(s.failed); err != nil {
		return nil, err
	}
	if slim != nil {
		if err := informer.SetTransform(slim); err != nil {
			return nil, err
		}
	}
	_, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: func(any) { wake.Notify() }, UpdateFunc: func(any, any) { wake.Notify() }, DeleteFunc: func(any) { wake.Notify() },
	})
	return s, err
}

// named selects the object with the given name; all objects if name is empty.
func named(name string) func(*metav1.ListOptions) {
	return func(o *metav1.ListOptions) {
		if name != "" {
			o.FieldSelector = fields.OneTermEqualSelector(metav1.ObjectNameField, name).String()
		}
	}
}

// Start watches until ctx ends. It retries indefinitely with a backoff. wait
// returns when the watch has ended.
func (s *Source) Start(ctx context.Context) (wait func()) {
	var running sync.WaitGroup
	running.Go(func() { s.informer.RunWithContext(ctx) })
	running.Go(func() {
		if cache.WaitForCacheSync(ctx.Done(), s.informer.HasSynced) {
			s.wake.Notify()
		}
	})
	return running.Wait
}

// failed records an error that a retry would not change. Other errors mean that
// the API server is unavailable; the objects then stay as they are.
func (s *Source) failed(_ context.Context, _ *cache.Reflector, err error) {
	final := apierrors.IsNotFound(err) || apierrors.IsForbidden(err) || apierrors.IsUnauthorized(err)
	if !final {
		return
	}
	s.mu.Lock()
	s.refusal = err
	s.mu.Unlock()
	s.wake.Notify()
}

// Synced reports whether Items returns all objects.
func (s *Source) Synced() bool { return s.informer.HasSynced() }

// Refusal returns why the API server refuses to list the objects. It is nil if the
// server lists them or is unavailable.
func (s *Source) Refusal() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.informer.HasSynced() {
		return nil
	}
	return s.refusal
}

// Items returns the objects in no particular order. They are shared and must not
// be changed.
func Items[T any](s *Source) []T {
	var items []T
	for _, object := range s.informer.GetStore().List() {
		if item, ok := object.(T); ok {
			items = append(items, item)
		}
	}
	return items
}
