package controller

import (
	"context"
	"errors"
	"fmt"
	"sync"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/informers"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
	mcsv1alpha1 "sigs.k8s.io/mcs-api/pkg/apis/v1alpha1"
	mcsv1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"
	mcslisters "sigs.k8s.io/mcs-api/pkg/client/listers/apis/v1beta1"

	"github.com/meshway/meshway/agent/kube/mcs"
	"github.com/meshway/meshway/consensus/catalog"
)

// Indexes of EndpointSlices, both by namespace/name of what they belong to.
const (
	ownIndex      = "service"       // of this cluster's own: a Service
	importedIndex = "serviceimport" // of those that Meshway wrote
)

// local is what the informers know of this cluster. Nothing that it gives may
// be changed.
type local struct {
	core       informers.SharedInformerFactory
	multi      []cache.SharedIndexInformer // of the Multi-Cluster Services API
	stopped    sync.WaitGroup              // those of multi
	services   corelisters.ServiceLister
	namespaces corelisters.NamespaceLister
	slices     cache.Indexer
	exports    mcslisters.ServiceExportLister
	imports    mcslisters.ServiceImportLister
}

// watchers are called back by the informers.
type watchers struct {
	name      func(catalog.ServiceName)      // an object has changed that counts for this exported name
	namespace func(string)                   // a namespace has changed
	failed    func(resource string, _ error) // objects could not be watched; it is tried again
}

// newLocal prepares the informers.
func newLocal(conf Config, served api, on watchers) (*local, error) {
	core := informers.NewSharedInformerFactory(conf.Kubernetes, 0)
	exports, imports := newExportInformer(served), newImportInformer(served)
	slices := core.Discovery().V1().EndpointSlices().Informer()
	if err := slices.AddIndexers(cache.Indexers{ownIndex: bySlice(false), importedIndex: bySlice(true)}); err != nil {
		return nil, fmt.Errorf("index EndpointSlices: %w", err)
	}
	l := &local{
		core: core, multi: []cache.SharedIndexInformer{exports, imports}, slices: slices.GetIndexer(),
		services: core.Core().V1().Services().Lister(), namespaces: core.Core().V1().Namespaces().Lister(),
		exports: mcslisters.NewServiceExportLister(exports.GetIndexer()),
		imports: mcslisters.NewServiceImportLister(imports.GetIndexer()),
	}
	onName := handler(func(object metav1.Object) {
		if n, ok := mcs.ExportedName(object); ok && l.counts(object, n) {
			on.name(n)
		}
	})
	onNamespace := handler(func(object metav1.Object) { on.namespace(object.GetName()) })
	for _, w := range []struct {
		resource string
		informer cache.SharedIndexInformer
		handler  cache.ResourceEventHandler
	}{
		{"EndpointSlices", slices, onName},
		{"Services", core.Core().V1().Services().Informer(), onName},
		{"ServiceExports", exports, onName},
		{"ServiceImports", imports, onName},
		{"Namespaces", core.Core().V1().Namespaces().Informer(), onNamespace},
	} {
		_, err := w.informer.AddEventHandler(w.handler)
		failed := func(_ context.Context, _ *cache.Reflector, err error) { on.failed(w.resource, err) }
		if err := errors.Join(err, w.informer.SetTransform(transform), w.informer.SetWatchErrorHandlerWithContext(failed)); err != nil {
			return nil, fmt.Errorf("watch %s: %w", w.resource, err)
		}
	}
	return l, nil
}

// The informers that mcs-api generates do not ask their client whether it streams
// lists, which the fake one does not, so these are built here. The objects of both
// versions are cached as v1beta1 (see transform).

func newExportInformer(served api) cache.SharedIndexInformer {
	if served.version == mcsv1alpha1.SchemeGroupVersion {
		client := served.client.MulticlusterV1alpha1().ServiceExports(metav1.NamespaceAll)
		return newInformer(served, &mcsv1alpha1.ServiceExport{}, listWatch(client.List, client.Watch))
	}
	client := served.client.MulticlusterV1beta1().ServiceExports(metav1.NamespaceAll)
	return newInformer(served, &mcsv1.ServiceExport{}, listWatch(client.List, client.Watch))
}

func newImportInformer(served api) cache.SharedIndexInformer {
	if served.version == mcsv1alpha1.SchemeGroupVersion {
		client := served.client.MulticlusterV1alpha1().ServiceImports(metav1.NamespaceAll)
		return newInformer(served, &mcsv1alpha1.ServiceImport{}, listWatch(client.List, client.Watch))
	}
	client := served.client.MulticlusterV1beta1().ServiceImports(metav1.NamespaceAll)
	return newInformer(served, &mcsv1.ServiceImport{}, listWatch(client.List, client.Watch))
}

func listWatch[L runtime.Object](
	list func(context.Context, metav1.ListOptions) (L, error),
	watch func(context.Context, metav1.ListOptions) (watch.Interface, error),
) *cache.ListWatch {
	return &cache.ListWatch{
		ListWithContextFunc:  func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) { return list(ctx, o) },
		WatchFuncWithContext: watch,
	}
}

func newInformer(served api, of runtime.Object, lw *cache.ListWatch) cache.SharedIndexInformer {
	byNamespace := cache.Indexers{cache.NamespaceIndex: cache.MetaNamespaceIndexFunc}
	return cache.NewSharedIndexInformer(cache.ToListWatcherWithWatchListSemantics(lw, served.client), of, 0, byNamespace)
}

// transform converts the objects of v1alpha1 to v1beta1, and drops what is not
// read here: it would be most of the memory.
func transform(object any) (any, error) {
	switch alpha := object.(type) {
	case *mcsv1alpha1.ServiceExport:
		object = newerExport(alpha)
	case *mcsv1alpha1.ServiceImport:
		object = newerImport(alpha)
	}
	if m, err := meta.Accessor(object); err == nil {
		m.SetManagedFields(nil)
	}
	return object, nil
}

func bySlice(managed bool) cache.IndexFunc {
	return func(object any) ([]string, error) {
		s, ok := object.(*discoveryv1.EndpointSlice)
		if !ok || mcs.IsManagedSlice(s) != managed {
			return nil, nil
		}
		name, ok := mcs.ExportedName(s)
		if !ok {
			return nil, nil
		}
		return []string{name.Namespace + "/" + name.Name}, nil
	}
}

func handler(changed func(metav1.Object)) cache.ResourceEventHandler {
	one := func(object any) {
		if gone, ok := object.(cache.DeletedFinalStateUnknown); ok {
			object = gone.Obj
		}
		if m, ok := object.(metav1.Object); ok {
			changed(m)
		}
	}
	return cache.ResourceEventHandlerFuncs{
		AddFunc: one, DeleteFunc: one,
		UpdateFunc: func(old, object any) {
			one(object)
			if before, ok := old.(*discoveryv1.EndpointSlice); ok {
				one(before) // it may have belonged to another Service
			}
		},
	}
}

// counts says whether a change of object can matter: most Services and slices
// of a cluster are not exported.
func (l *local) counts(object metav1.Object, name catalog.ServiceName) bool {
	switch object.(type) {
	case *corev1.Service:
		return mcs.IsManaged(object) || l.export(name) != nil
	case *discoveryv1.EndpointSlice:
		return mcs.IsManagedSlice(object) || l.export(name) != nil
	}
	return true
}

// start returns when all informers know the cluster; false: ctx ended before.
func (l *local) start(ctx context.Context) bool {
	l.core.Start(ctx.Done())
	var synced []cache.InformerSynced
	for _, informer := range l.multi {
		l.stopped.Go(func() { informer.RunWithContext(ctx) })
		synced = append(synced, informer.HasSynced)
	}
	for _, ok := range l.core.WaitForCacheSync(ctx.Done()) {
		if !ok {
			return false
		}
	}
	return cache.WaitForCacheSync(ctx.Done(), synced...)
}

// wait returns when all informers have ended.
func (l *local) wait() {
	l.core.Shutdown()
	l.stopped.Wait()
}

func (l *local) export(name catalog.ServiceName) *mcsv1.ServiceExport {
	e, err := l.exports.ServiceExports(name.Namespace).Get(name.Name)
	return orNil(e, err)
}

func (l *local) serviceImport(name catalog.ServiceName) *mcsv1.ServiceImport {
	i, err := l.imports.ServiceImports(name.Namespace).Get(name.Name)
	return orNil(i, err)
}

func (l *local) service(namespace, name string) *corev1.Service {
	s, err := l.services.Services(namespace).Get(name)
	return orNil(s, err)
}

// mirrors gives the Services that Meshway made for single datacenters of name.
func (l *local) mirrors(name catalog.ServiceName) []*corev1.Service {
	ours := labels.SelectorFromSet(labels.Set{mcs.MirrorLabel: name.Name, mcs.ManagedByLabel: mcs.ManagedBy})
	found, _ := l.services.Services(name.Namespace).List(ours) // of a cache: it has no errors
	return found
}

// namespace says whether objects can be made in it.
func (l *local) namespace(name string) bool {
	n, err := l.namespaces.Get(name)
	return err == nil && n.DeletionTimestamp == nil && n.Status.Phase != corev1.NamespaceTerminating
}

// endpointSlices gives those of one index that belong to name.
func (l *local) endpointSlices(index string, name catalog.ServiceName) []*discoveryv1.EndpointSlice {
	objects, err := l.slices.ByIndex(index, name.Namespace+"/"+name.Name)
	if err != nil {
		return nil // only of an index that is not there
	}
	var found []*discoveryv1.EndpointSlice
	for _, o := range objects {
		if s, ok := o.(*discoveryv1.EndpointSlice); ok {
			found = append(found, s)
		}
	}
	return found
}

func (l *local) source(name catalog.ServiceName) mcs.Source {
	return mcs.Source{
		Export: l.export(name), Service: l.service(name.Namespace, name.Name), Slices: l.endpointSlices(ownIndex, name),
	}
}

// names gives every name that this cluster exports or has imported.
func (l *local) names() []catalog.ServiceName {
	var names []catalog.ServiceName
	exports, _ := l.exports.List(labels.Everything()) // of a cache: it has no errors
	for _, e := range exports {
		names = append(names, catalog.ServiceName{Namespace: e.Namespace, Name: e.Name})
	}
	imports, _ := l.imports.List(labels.Everything())
	for _, i := range imports {
		names = append(names, catalog.ServiceName{Namespace: i.Namespace, Name: i.Name})
	}
	return names
}

// orNil: a cache has no error but that there is no such object.
func orNil[T any](object *T, err error) *T {
	if apierrors.IsNotFound(err) {
		return nil
	}
	return object
}
