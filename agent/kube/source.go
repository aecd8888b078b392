package kube

import (
	"context"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/tools/cache"

	"github.com/meshway/meshway/agent/wake"
)

// Source is an informer of one kind that knows whether its content counts.
type Source struct {
	informer cache.SharedIndexInformer
	wake     wake.One

	mu      sync.Mutex // guards refusal
	refusal error      // of the API server: it has no such kind, or does not let us; nil since it last answered
}

// NewSource returns a source that wakes reader after everything that changes it,
// once it is started. The informer must be fresh. slim may drop what nobody reads.
func NewSource(informer cache.SharedIndexInformer, slim cache.TransformFunc, reader wake.One) (*Source, error) {
	s := &Source{informer: informer, wake: reader}
	if err := informer.SetWatchErrorHandlerWithContext(s.failed); err != nil {
		return nil, err
	}
	if slim != nil {
		if err := informer.SetTransform(slim); err != nil {
			return nil, err
		}
	}
	_, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: func(any) { reader.Up() }, UpdateFunc: func(any, any) { reader.Up() }, DeleteFunc: func(any) { reader.Up() },
	})
	return s, err
}

// Start watches until ctx ends; it tries again for ever, and ever less often.
// wait returns when it has ended.
func (s *Source) Start(ctx context.Context) (wait func()) {
	var running sync.WaitGroup
	running.Go(func() { s.informer.RunWithContext(ctx) })
	running.Go(func() {
		if cache.WaitForCacheSync(ctx.Done(), s.informer.HasSynced) {
			s.wake.Up()
		}
	})
	return running.Wait
}

// failed keeps an answer that trying again would not change. All else means
// that the API server is away: then what is known stays.
func (s *Source) failed(_ context.Context, _ *cache.Reflector, err error) {
	final := apierrors.IsNotFound(err) || apierrors.IsForbidden(err) || apierrors.IsUnauthorized(err)
	if !final {
		return
	}
	s.mu.Lock()
	s.refusal = err
	s.mu.Unlock()
	s.wake.Up()
}

// Synced tells whether Items are complete.
func (s *Source) Synced() bool { return s.informer.HasSynced() }

// Refusal is why the API server gives nothing; nil: it does, or is away.
func (s *Source) Refusal() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.informer.HasSynced() {
		return nil
	}
	return s.refusal
}

// Items are the objects, in no order. They are shared: do not change them.
func Items[T any](s *Source) []T {
	var items []T
	for _, object := range s.informer.GetStore().List() {
		if item, ok := object.(T); ok {
			items = append(items, item)
		}
	}
	return items
}
