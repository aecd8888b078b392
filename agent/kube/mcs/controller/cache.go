package controller

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
	mcsv1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"
	mcslisters "sigs.k8s.io/mcs-api/pkg/client/listers/apis/v1beta1"

	"github.com/meshway/meshway/agent/kube/mcs"
	"github.com/meshway/meshway/agent/status"
	"github.com/meshway/meshway/consensus/catalog"
)

// Indexes of EndpointSlices by the namespace/name of their owner.
const (
	ownIndex      = "service"       // slices of this cluster, by Service
	importedIndex = "serviceimport" // slices that Meshway wrote, by ServiceImport
)

// clusterCache reads the objects of this cluster from informers. The returned objects
// are shared and must not be changed.
type clusterCache struct {
	core       informers.SharedInformerFactory
	mcs        []cache.SharedIndexInformer // of the Multi-Cluster Services API
	stopped    sync.WaitGroup              // the informers of mcs
	services   corelisters.ServiceLister
	namespaces corelisters.NamespaceLister
	slices     cache.Indexer
	exports    mcslisters.ServiceExportLister
	imports    mcslisters.ServiceImportLister
}

// callbacks are the functions that the informers call.
type callbacks struct {
	changed          func(catalog.ServiceName)      // an object of this exported name has changed
	namespaceChanged func(string)                   // a namespace has changed
	watchFailed      func(resource string, _ error) // a list or watch failed and will be retried
}

// newClusterCache returns a cache whose informers are not started.
func newClusterCache(cfg Config, served api, on callbacks) (*clusterCache, error) {
	core := informers.NewSharedInformerFactory(cfg.Kubernetes, 0)
	exports, imports := newExportInformer(served), newImportInformer(served)
	endpointSlices := core.Discovery().V1().EndpointSlices().Informer()
	if err := endpointSlices.AddIndexers(cache.Indexers{ownIndex: bySlice(false), importedIndex: bySlice(true)}); err != nil {
		return nil, fmt.Errorf("index EndpointSlices: %w", err)
	}
	c := &clusterCache{
		core:       core,
		mcs:        []cache.SharedIndexInformer{exports, imports},
		slices:     endpointSlices.GetIndexer(),
		services:   core.Core().V1().Services().Lister(),
		namespaces: core.Core().V1().Namespaces().Lister(),
		exports:    mcslisters.NewServiceExportLister(exports.GetIndexer()),
		imports:    mcslisters.NewServiceImportLister(imports.GetIndexer()),
	}
	changed := func(object metav1.Object) {
		if n, ok := mcs.ExportedName(object); ok && c.relevant(object, n) {
			on.changed(n)
		}
	}
	onName := handler(changed)
	onService := handler(func(object metav1.Object) {
		changed(object)
		for _, n := range mcs.MirroredNames(object.GetNamespace(), object.GetName()) {
			if c.serviceImport(n) != nil { // its mirror may wait for the name
				on.changed(n)
			}
		}
	})
	onNamespace := handler(func(object metav1.Object) { on.namespaceChanged(object.GetName()) })
	for _, w := range []struct {
		resource string
		informer cache.SharedIndexInformer
		handler  cache.ResourceEventHandler
	}{
		{"EndpointSlices", endpointSlices, onName},
		{"Services", core.Core().V1().Services().Informer(), onService},
		{"ServiceExports", exports, onName},
		{"ServiceImports", imports, onName},
		{"Namespaces", core.Core().V1().Namespaces().Informer(), onNamespace},
	} {
		_, err := w.informer.AddEventHandler(w.handler)
		failed := func(_ context.Context, _ *cache.Reflector, err error) { on.watchFailed(w.resource, err) }
		if err := errors.Join(err, w.informer.SetTransform(transform), w.informer.SetWatchErrorHandlerWithContext(failed)); err != nil {
			return nil, fmt.Errorf("watch %s: %w", w.resource, err)
		}
	}
	return c, nil
}

// bySlice returns an index function for the slices that Meshway wrote, or for all
// others.
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
		return []string{serviceText(name)}, nil
	}
}

// handler returns an event handler that calls changed for each event.
func handler(changed func(metav1.Object)) cache.ResourceEventHandler {
	notify := func(object any) {
		if deleted, ok := object.(cache.DeletedFinalStateUnknown); ok {
			object = deleted.Obj
		}
		if m, ok := object.(metav1.Object); ok {
			changed(m)
		}
	}
	return cache.ResourceEventHandlerFuncs{
		AddFunc:    notify,
		DeleteFunc: notify,
		UpdateFunc: func(old, object any) {
			notify(object)
			if before, ok := old.(*discoveryv1.EndpointSlice); ok {
				notify(before) // the slice may have belonged to another Service
			}
		},
	}
}

// relevant reports whether a change of object can affect name: most Services and
// slices of a cluster are not exported.
func (c *clusterCache) relevant(object metav1.Object, name catalog.ServiceName) bool {
	switch object.(type) {
	case *corev1.Service:
		return mcs.IsManaged(object) || c.export(name) != nil
	case *discoveryv1.EndpointSlice:
		return mcs.IsManagedSlice(object) || c.export(name) != nil
	}
	return true
}

// start starts the informers and returns when their caches are filled. It reports
// false if ctx ends before.
func (c *clusterCache) start(ctx context.Context) bool {
	c.core.Start(ctx.Done())
	var synced []cache.InformerSynced
	for _, informer := range c.mcs {
		c.stopped.Go(func() { informer.RunWithContext(ctx) })
		synced = append(synced, informer.HasSynced)
	}
	for _, ok := range c.core.WaitForCacheSync(ctx.Done()) {
		if !ok {
			return false
		}
	}
	return cache.WaitForCacheSync(ctx.Done(), synced...)
}

// wait waits until all informers have ended.
func (c *clusterCache) wait() {
	c.core.Shutdown()
	c.stopped.Wait()
}

func (c *clusterCache) export(name catalog.ServiceName) *mcsv1.ServiceExport {
	e, err := c.exports.ServiceExports(name.Namespace).Get(name.Name)
	return orNil(e, err)
}

func (c *clusterCache) serviceImport(name catalog.ServiceName) *mcsv1.ServiceImport {
	i, err := c.imports.ServiceImports(name.Namespace).Get(name.Name)
	return orNil(i, err)
}

// othersHaveAddress reports whether a Service other than s, by its name, has one of the
// cluster IPs of s. The cache may have s itself as it was before its deletion.
func (c *clusterCache) othersHaveAddress(s *corev1.Service) bool {
	all, _ := c.services.List(labels.Everything()) // a cache returns no errors
	return slices.ContainsFunc(all, func(other *corev1.Service) bool {
		same := other.Namespace == s.Namespace && other.Name == s.Name
		return !same && slices.ContainsFunc(other.Spec.ClusterIPs, func(ip string) bool { return slices.Contains(s.Spec.ClusterIPs, ip) })
	})
}

func (c *clusterCache) service(namespace, name string) *corev1.Service {
	s, err := c.services.Services(namespace).Get(name)
	return orNil(s, err)
}

// mirrors returns the mirrors of name.
func (c *clusterCache) mirrors(name catalog.ServiceName) []*corev1.Service {
	selector := labels.SelectorFromSet(labels.Set{mcs.MirrorLabel: name.Name, mcs.ManagedByLabel: mcs.ManagedBy})
	found, _ := c.services.Services(name.Namespace).List(selector) // a cache returns no errors
	return found
}

// namespace reports whether objects can be created in a namespace.
func (c *clusterCache) namespace(name string) bool {
	n, err := c.namespaces.Get(name)
	return err == nil && n.DeletionTimestamp == nil && n.Status.Phase != corev1.NamespaceTerminating
}

// origins returns from which datacenters a namespace imports registered services.
func (c *clusterCache) origins(namespace string) mcs.Origins {
	n, err := c.namespaces.Get(namespace)
	if err != nil {
		return mcs.Origins{}
	}
	origins, _ := mcs.OriginsOf(n.Annotations)
	return origins
}

// annotated returns the namespaces with mcs.ImportAnnotation, sorted by name.
func (c *clusterCache) annotated() []*corev1.Namespace {
	all, _ := c.namespaces.List(labels.Everything()) // a cache returns no errors
	all = slices.DeleteFunc(all, func(n *corev1.Namespace) bool { return n.Annotations[mcs.ImportAnnotation] == "" })
	slices.SortFunc(all, func(a, b *corev1.Namespace) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// endpointSlices returns the slices of name in an index.
func (c *clusterCache) endpointSlices(index string, name catalog.ServiceName) []*discoveryv1.EndpointSlice {
	objects, err := c.slices.ByIndex(index, serviceText(name))
	if err != nil {
		return nil // only for an unknown index
	}
	var found []*discoveryv1.EndpointSlice
	for _, o := range objects {
		if s, ok := o.(*discoveryv1.EndpointSlice); ok {
			found = append(found, s)
		}
	}
	return found
}

func (c *clusterCache) source(name catalog.ServiceName) mcs.Source {
	return mcs.Source{
		Export:  c.export(name),
		Service: c.service(name.Namespace, name.Name),
		Slices:  c.endpointSlices(ownIndex, name),
	}
}

// names returns the names of all ServiceExports and ServiceImports.
func (c *clusterCache) names() []catalog.ServiceName {
	var names []catalog.ServiceName
	exports, _ := c.exports.List(labels.Everything()) // a cache returns no errors
	for _, e := range exports {
		names = append(names, catalog.ServiceName{Namespace: e.Namespace, Name: e.Name})
	}
	imports, _ := c.imports.List(labels.Everything())
	for _, i := range imports {
		names = append(names, catalog.ServiceName{Namespace: i.Namespace, Name: i.Name})
	}
	return names
}

// status counts the objects of the cluster that take part in multi-cluster services.
func (c *clusterCache) status() status.MultiCluster {
	var s status.MultiCluster
	exports, _ := c.exports.List(labels.Everything()) // a cache returns no errors
	s.Exports = len(exports)
	imports, _ := c.imports.List(labels.Everything())
	for _, i := range imports {
		if mcs.IsManaged(i) {
			s.Imports++
		}
	}
	for _, o := range c.slices.List() {
		if slice, ok := o.(*discoveryv1.EndpointSlice); ok && mcs.IsManagedSlice(slice) {
			s.EndpointSlices++
		}
	}
	return s
}

// orNil returns nil if the object does not exist, which is the only error of a cache.
func orNil[T any](object *T, err error) *T {
	if apierrors.IsNotFound(err) {
		return nil
	}
	return object
}
