package controller

import (
	"context"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	mcsv1alpha1 "sigs.k8s.io/mcs-api/pkg/apis/v1alpha1"
	mcsv1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"
	mcsclient "sigs.k8s.io/mcs-api/pkg/client/clientset/versioned"
)

// api is the Multi-Cluster Services API of the own cluster. Its objects have the
// types of v1beta1 in any served version.
type api struct {
	client mcsclient.Interface
	support
}

// support is what the installed CRDs of the API support.
type support struct {
	version schema.GroupVersion // the newest served version
	fields  fields
}

func (s support) String() string {
	text := s.version.String()
	if dropped := s.fields.dropped(); dropped != "" {
		text += " without " + dropped
	}
	return text
}

// exportClient updates ServiceExports. It cannot create or delete them: they belong
// to users.
type exportClient interface {
	UpdateStatus(ctx context.Context, e *mcsv1.ServiceExport, options metav1.UpdateOptions) (*mcsv1.ServiceExport, error)
}

// importClient reads and writes ServiceImports.
type importClient interface {
	List(ctx context.Context, options metav1.ListOptions) (*mcsv1.ServiceImportList, error)
	Create(ctx context.Context, i *mcsv1.ServiceImport, options metav1.CreateOptions) (*mcsv1.ServiceImport, error)
	Update(ctx context.Context, i *mcsv1.ServiceImport, options metav1.UpdateOptions) (*mcsv1.ServiceImport, error)
	UpdateStatus(ctx context.Context, i *mcsv1.ServiceImport, options metav1.UpdateOptions) (*mcsv1.ServiceImport, error)
	Delete(ctx context.Context, name string, options metav1.DeleteOptions) error
}

func (a api) exports(namespace string) exportClient {
	if a.version == mcsv1alpha1.SchemeGroupVersion {
		return alphaExports{a.client.MulticlusterV1alpha1().ServiceExports(namespace)}
	}
	return a.client.MulticlusterV1beta1().ServiceExports(namespace)
}

func (a api) imports(namespace string) importClient {
	if a.version == mcsv1alpha1.SchemeGroupVersion {
		return alphaImports{a.client.MulticlusterV1alpha1().ServiceImports(namespace)}
	}
	return a.client.MulticlusterV1beta1().ServiceImports(namespace)
}

// owner returns a reference to a ServiceImport in a served version: the garbage
// collector of Kubernetes resolves owners by their version.
func (a api) owner(i *mcsv1.ServiceImport) metav1.OwnerReference {
	return metav1.OwnerReference{
		APIVersion: a.version.String(), Kind: mcsv1.ServiceImportKindName, Name: i.Name, UID: i.UID,
	}
}

// supportedVersions returns the versions that this package can use, newest first.
func supportedVersions() []schema.GroupVersion {
	return []schema.GroupVersion{mcsv1.SchemeGroupVersion, mcsv1alpha1.SchemeGroupVersion}
}

// notServedError returns an errCRDs that names the supported versions.
func notServedError() error {
	known := supportedVersions()
	return fmt.Errorf("the cluster does not serve %s nor %s: %w; apply those of the chart", known[0], known[1].Version, errCRDs)
}
