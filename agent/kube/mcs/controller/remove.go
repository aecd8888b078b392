package controller

import (
	"context"
	"errors"
	"fmt"

	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	mcsclient "sigs.k8s.io/mcs-api/pkg/client/clientset/versioned"

	"github.com/meshway/meshway/agent/kube/mcs"
)

// Remove deletes the objects that Controllers wrote into a cluster, for a datacenter
// that leaves its federation. No Controller may be running. Remove keeps
// ServiceExports, which belong to users, and the Lease, which expires.
func Remove(ctx context.Context, core kubernetes.Interface, multi mcsclient.Interface) error {
	managed := metav1.ListOptions{LabelSelector: mcs.ManagedByLabel + "=" + mcs.ManagedBy}
	err := errors.Join(
		removeSlices(ctx, core, metav1.ListOptions{LabelSelector: discoveryv1.LabelManagedBy + "=" + mcs.ManagedBy}),
		removeServices(ctx, core, managed),
		removeImports(ctx, multi, managed),
	)
	if err != nil {
		return fmt.Errorf("remove multi-cluster services: %w", err)
	}
	return nil
}

// RemoveLease deletes the Lease, for a cluster from which Meshway is uninstalled. A
// Lease that does not exist is no error.
func RemoveLease(ctx context.Context, core kubernetes.Interface, namespace string) error {
	err := core.CoordinationV1().Leases(namespace).Delete(ctx, LeaseName, metav1.DeleteOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("delete Lease %s: %w", LeaseName, err)
	}
	return nil
}

func removeSlices(ctx context.Context, core kubernetes.Interface, managed metav1.ListOptions) error {
	list, err := core.DiscoveryV1().EndpointSlices(metav1.NamespaceAll).List(ctx, managed)
	if err != nil {
		return fmt.Errorf("list EndpointSlices: %w", err)
	}
	var failed []error
	for _, s := range list.Items {
		failed = append(failed, deleteError("EndpointSlice", core.DiscoveryV1().EndpointSlices(s.Namespace).Delete(ctx, s.Name, onlyThis(&s))))
	}
	return errors.Join(failed...)
}

// removeServices deletes derived Services and mirrors, but no other Services of Meshway.
func removeServices(ctx context.Context, core kubernetes.Interface, managed metav1.ListOptions) error {
	list, err := core.CoreV1().Services(metav1.NamespaceAll).List(ctx, managed)
	if err != nil {
		return fmt.Errorf("list Services: %w", err)
	}
	var failed []error
	for _, s := range list.Items {
		if _, derived := mcs.ExportedName(&s); derived {
			failed = append(failed, deleteError("Service", core.CoreV1().Services(s.Namespace).Delete(ctx, s.Name, onlyThis(&s))))
		}
	}
	return errors.Join(failed...)
}

func removeImports(ctx context.Context, multi mcsclient.Interface, managed metav1.ListOptions) error {
	served, err := discover(ctx, multi)
	if errors.Is(err, errCRDs) {
		return nil // without CRDs there are no objects
	}
	if err != nil {
		return err
	}
	list, err := served.imports(metav1.NamespaceAll).List(ctx, managed)
	if err != nil {
		return fmt.Errorf("list ServiceImports: %w", err)
	}
	var failed []error
	for _, i := range list.Items {
		failed = append(failed, deleteError("ServiceImport", served.imports(i.Namespace).Delete(ctx, i.Name, onlyThis(&i))))
	}
	return errors.Join(failed...)
}
