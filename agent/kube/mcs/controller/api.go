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

// api is the Multi-Cluster Services API as the own cluster serves it. Its objects
// have the types of v1beta1, whichever version they are read and written in.
type api struct {
	client mcsclient.Interface
	dialect
}

// dialect is what differs between clusters, by who installed the CRDs and when.
type dialect struct {
	version schema.GroupVersion // the newest that is served
	keeps   fields
}

func (d dialect) String() string {
	text := d.version.String()
	if lost := d.keeps.lost(); lost != "" {
		text += " without " + lost
	}
	return text
}

// exportClient is what is asked of ServiceExports: they are the users'.
type exportClient interface {
	UpdateStatus(ctx context.Context, e *mcsv1.ServiceExport, options metav1.UpdateOptions) (*mcsv1.ServiceExport, error)
}

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

// owner refers to a ServiceImport by a version that is served: the garbage
// collector of Kubernetes looks for it by that.
func (a api) owner(i *mcsv1.ServiceImport) metav1.OwnerReference {
	return metav1.OwnerReference{
		APIVersion: a.version.String(), Kind: mcsv1.ServiceImportKindName, Name: i.Name, UID: i.UID,
	}
}

// versions are those that this package can use, newest first.
func versions() []schema.GroupVersion {
	return []schema.GroupVersion{mcsv1.SchemeGroupVersion, mcsv1alpha1.SchemeGroupVersion}
}

// unserved names the versions that would do.
func unserved() error {
	known := versions()
	return fmt.Errorf("the cluster does not serve %s nor %s: %w; apply those of the chart", known[0], known[1].Version, errCRDs)
}
