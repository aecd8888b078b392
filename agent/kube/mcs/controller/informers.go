package controller

import (
	"context"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
	mcsv1alpha1 "sigs.k8s.io/mcs-api/pkg/apis/v1alpha1"
	mcsv1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"
)

// The informers that mcs-api generates assume that their client supports streamed
// lists, which the fake one does not, so the informers of ServiceExports and
// ServiceImports are created here. They store the objects of both versions as v1beta1
// (see transform).

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

// transform converts objects of v1alpha1 to v1beta1 and removes the managed fields,
// which are not used here and would take most of the memory.
func transform(object any) (any, error) {
	switch alpha := object.(type) {
	case *mcsv1alpha1.ServiceExport:
		object = exportFromAlpha(alpha)
	case *mcsv1alpha1.ServiceImport:
		object = importFromAlpha(alpha)
	}
	if m, err := meta.Accessor(object); err == nil {
		m.SetManagedFields(nil)
	}
	return object, nil
}
