//go:build linux

package bench

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/meshway/meshway/agent/kube/mcs"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/tools/cache"
)

// watcher records since when facts hold in a cluster, from the events of watches.
// A fact is a text such as "imported web 10.11.1.7" or "ready server".
type watcher struct {
	factory informers.SharedInformerFactory
	stop    context.CancelFunc

	mu     sync.Mutex                      // guards all following fields
	facts  map[string]map[string]time.Time // by object; an event replaces the facts of its object
	object map[string]string               // by fact, the last object that had it
	change chan struct{}                   // closed at the next change
}

func newWatcher() *watcher {
	return &watcher{facts: make(map[string]map[string]time.Time), object: make(map[string]string), change: make(chan struct{})}
}

// watch starts the watches of a cluster and waits until they are synchronized.
func (s *member) watch(ctx context.Context) (*watcher, error) {
	ctx, stop := context.WithCancel(ctx)
	w := newWatcher()
	w.stop = stop
	w.factory = informers.NewSharedInformerFactoryWithOptions(s.core, 0, informers.WithNamespace(namespace), informers.WithTransform(removeManagedFields))
	handler := cache.ResourceEventHandlerFuncs{
		AddFunc: w.update, UpdateFunc: func(_, object any) { w.update(object) }, DeleteFunc: w.remove,
	}
	for _, informer := range []cache.SharedIndexInformer{
		w.factory.Discovery().V1().EndpointSlices().Informer(), w.factory.Core().V1().Pods().Informer(),
	} {
		if _, err := informer.AddEventHandler(handler); err != nil {
			stop()
			return nil, fmt.Errorf("watch %s: %w", s.Name(), err)
		}
	}
	w.factory.Start(ctx.Done())
	for _, synced := range w.factory.WaitForCacheSync(ctx.Done()) {
		if !synced {
			w.close()
			return nil, fmt.Errorf("watch %s: %w", s.Name(), context.Cause(ctx))
		}
	}
	return w, nil
}

func removeManagedFields(object any) (any, error) {
	if m, err := meta.Accessor(object); err == nil {
		m.SetManagedFields(nil)
	}
	return object, nil
}

func (w *watcher) close() {
	w.stop()
	w.factory.Shutdown()
}

// update records the facts of an object. Those that are new hold since now.
func (w *watcher) update(object any) {
	now := time.Now()
	name, facts := factsOf(object)
	w.mu.Lock()
	defer w.mu.Unlock()
	before, held := w.facts[name], make(map[string]time.Time, len(facts))
	for _, fact := range facts {
		held[fact] = now
		if at, ok := before[fact]; ok {
			held[fact] = at
		}
		w.object[fact] = name
	}
	w.facts[name] = held
	w.notify()
}

func (w *watcher) remove(object any) {
	if gone, ok := object.(cache.DeletedFinalStateUnknown); ok {
		object = gone.Obj
	}
	name, _ := factsOf(object)
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.facts, name)
	w.notify()
}

func (w *watcher) notify() {
	close(w.change)
	w.change = make(chan struct{})
}

// since returns the time since which a fact holds, or zero if it does not hold.
func (w *watcher) since(fact string) time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.facts[w.object[fact]][fact]
}

// await waits until all facts hold and returns the time since which they do.
func (w *watcher) await(ctx context.Context, facts ...string) (time.Time, error) {
	return w.until(ctx, facts, func(at time.Time) bool { return !at.IsZero() })
}

// awaitNot waits until none of the facts holds.
func (w *watcher) awaitNot(ctx context.Context, facts ...string) error {
	_, err := w.until(ctx, facts, time.Time.IsZero)
	return err
}

// until waits until the time of each fact satisfies done, and returns the latest
// of these times.
func (w *watcher) until(ctx context.Context, facts []string, done func(time.Time) bool) (last time.Time, err error) {
	for len(facts) > 0 {
		w.mu.Lock()
		next := w.change
		w.mu.Unlock()
		at := w.since(facts[0])
		if done(at) {
			if at.After(last) {
				last = at
			}
			facts = facts[1:]
			continue
		}
		select {
		case <-ctx.Done():
			return last, fmt.Errorf("wait for %q and %d more facts: %w", facts[0], len(facts)-1, context.Cause(ctx))
		case <-next:
		}
	}
	return last, nil
}

// factsOf returns the facts of an object: "ready POD" for a pod, and "own SERVICE
// ADDRESS" or "imported SERVICE ADDRESS" for the ready endpoints of a slice.
func factsOf(object any) (name string, facts []string) {
	switch o := object.(type) {
	case *corev1.Pod:
		name = "pod " + o.Name
		for _, c := range o.Status.Conditions {
			if c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue {
				facts = append(facts, "ready "+o.Name)
			}
		}
	case *discoveryv1.EndpointSlice:
		name = "slice " + o.Name
		service, _ := mcs.ExportedName(o)
		kind := "own " + service.Name + " "
		if mcs.IsManagedSlice(o) {
			kind = "imported " + service.Name + " "
		}
		for _, e := range o.Endpoints {
			if e.Conditions.Ready == nil || *e.Conditions.Ready {
				facts = append(facts, kind+e.Addresses[0])
			}
		}
	}
	return name, facts
}
