package controller

import (
	"context"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	mcsv1alpha1 "sigs.k8s.io/mcs-api/pkg/apis/v1alpha1"
	mcsv1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"
	alphaclient "sigs.k8s.io/mcs-api/pkg/client/clientset/versioned/typed/apis/v1alpha1"
)

// The types of v1alpha1 and v1beta1 have the same fields. The functions below convert
// whole structs, so they do not compile with a release of the API in which they differ.

// alphaExports implements exportClient.
type alphaExports struct {
	client alphaclient.ServiceExportInterface
}

func (a alphaExports) UpdateStatus(ctx context.Context, e *mcsv1.ServiceExport, options metav1.UpdateOptions) (*mcsv1.ServiceExport, error) {
	alpha := &mcsv1alpha1.ServiceExport{
		ObjectMeta: e.ObjectMeta,
		Spec:       mcsv1alpha1.ServiceExportSpec(e.Spec),
		Status:     mcsv1alpha1.ServiceExportStatus(e.Status),
	}
	updated, err := a.client.UpdateStatus(ctx, alpha, options)
	if err != nil {
		return nil, err
	}
	return exportFromAlpha(updated), nil
}

// alphaImports implements importClient. Delete is that of the embedded client.
type alphaImports struct {
	alphaclient.ServiceImportInterface
}

func (a alphaImports) List(ctx context.Context, options metav1.ListOptions) (*mcsv1.ServiceImportList, error) {
	list, err := a.ServiceImportInterface.List(ctx, options)
	if err != nil {
		return nil, err
	}
	converted := &mcsv1.ServiceImportList{ListMeta: list.ListMeta}
	for i := range list.Items {
		converted.Items = append(converted.Items, *importFromAlpha(&list.Items[i]))
	}
	return converted, nil
}

func (a alphaImports) Create(ctx context.Context, i *mcsv1.ServiceImport, options metav1.CreateOptions) (*mcsv1.ServiceImport, error) {
	created, err := a.ServiceImportInterface.Create(ctx, importToAlpha(i), options)
	if err != nil {
		return nil, err
	}
	return importFromAlpha(created), nil
}

func (a alphaImports) Update(ctx context.Context, i *mcsv1.ServiceImport, options metav1.UpdateOptions) (*mcsv1.ServiceImport, error) {
	updated, err := a.ServiceImportInterface.Update(ctx, importToAlpha(i), options)
	if err != nil {
		return nil, err
	}
	return importFromAlpha(updated), nil
}

func (a alphaImports) UpdateStatus(ctx context.Context, i *mcsv1.ServiceImport, options metav1.UpdateOptions) (*mcsv1.ServiceImport, error) {
	updated, err := a.ServiceImportInterface.UpdateStatus(ctx, importToAlpha(i), options)
	if err != nil {
		return nil, err
	}
	return importFromAlpha(updated), nil
}

func exportFromAlpha(e *mcsv1alpha1.ServiceExport) *mcsv1.ServiceExport {
	return &mcsv1.ServiceExport{
		ObjectMeta: e.ObjectMeta,
		Spec:       mcsv1.ServiceExportSpec(e.Spec),
		Status:     mcsv1.ServiceExportStatus(e.Status),
	}
}

func importFromAlpha(i *mcsv1alpha1.ServiceImport) *mcsv1.ServiceImport {
	return &mcsv1.ServiceImport{
		ObjectMeta: i.ObjectMeta,
		Spec: mcsv1.ServiceImportSpec{
			Ports: convertAll(i.Spec.Ports, func(p mcsv1alpha1.ServicePort) mcsv1.ServicePort { return mcsv1.ServicePort(p) }),
			IPs:   i.Spec.IPs, Type: mcsv1.ServiceImportType(i.Spec.Type), IPFamilies: i.Spec.IPFamilies,
			SessionAffinity: i.Spec.SessionAffinity, SessionAffinityConfig: i.Spec.SessionAffinityConfig,
			InternalTrafficPolicy: i.Spec.InternalTrafficPolicy, TrafficDistribution: i.Spec.TrafficDistribution,
		},
		Status: mcsv1.ServiceImportStatus{
			EndpointSliceObjects: mcsv1.EndpointSliceObjectsStatus(i.Status.EndpointSliceObjects), Conditions: i.Status.Conditions,
			Clusters: convertAll(i.Status.Clusters, func(c mcsv1alpha1.ClusterStatus) mcsv1.ClusterStatus { return mcsv1.ClusterStatus(c) }),
		},
	}
}

func importToAlpha(i *mcsv1.ServiceImport) *mcsv1alpha1.ServiceImport {
	return &mcsv1alpha1.ServiceImport{
		ObjectMeta: i.ObjectMeta,
		Spec: mcsv1alpha1.ServiceImportSpec{
			Ports: convertAll(i.Spec.Ports, func(p mcsv1.ServicePort) mcsv1alpha1.ServicePort { return mcsv1alpha1.ServicePort(p) }),
			IPs:   i.Spec.IPs, Type: mcsv1alpha1.ServiceImportType(i.Spec.Type), IPFamilies: i.Spec.IPFamilies,
			SessionAffinity: i.Spec.SessionAffinity, SessionAffinityConfig: i.Spec.SessionAffinityConfig,
			InternalTrafficPolicy: i.Spec.InternalTrafficPolicy, TrafficDistribution: i.Spec.TrafficDistribution,
		},
		Status: mcsv1alpha1.ServiceImportStatus{
			EndpointSliceObjects: mcsv1alpha1.EndpointSliceObjectsStatus(i.Status.EndpointSliceObjects), Conditions: i.Status.Conditions,
			Clusters: convertAll(i.Status.Clusters, func(c mcsv1.ClusterStatus) mcsv1alpha1.ClusterStatus { return mcsv1alpha1.ClusterStatus(c) }),
		},
	}
}

// convertAll converts each element of list. It keeps nil, which encodes differently
// from an empty list.
func convertAll[A, B any](list []A, convert func(A) B) []B {
	if list == nil {
		return nil
	}
	converted := make([]B, 0, len(list))
	for _, a := range list {
		converted = append(converted, convert(a))
	}
	return converted
}
