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

// Remove deletes what Controllers wrote into a cluster: for a datacenter that
// leaves its federation. None may run any more. ServiceExports stay, they are
// the users', and so does the Lease, which ends by itself.
func Remove(ctx context.Context, core kubernetes.Interface, multi mcsclient.Interface) error {
	ours := metav1.ListOptions{LabelSelector: mcs.ManagedByLabel + "=" + mcs.ManagedBy}
	err := errors.Join(
		removeSlices(ctx, core, metav1.ListOptions{LabelSelector: discoveryv1.LabelManagedBy + "=" + mcs.ManagedBy}),
		removeServices(ctx, core, ours),
		removeImports(ctx, multi, ours),
	)
	if err != nil {
		return fmt.Errorf("remove multi-cluster services: %w", err)
	}
	return nil
}

// RemoveLease deletes the Lease too: when no agent will come back.
func RemoveLease(ctx context.Context, core kubernetes.Interface, namespace string) error {
	err := core.CoordinationV1().Leases(namespace).Delete(ctx, LeaseName, metav1.DeleteOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("delete Lease %s: %w", LeaseName, err)
	}
	return nil
}

func removeSlices(ctx context.Context, core kubernetes.Interface, ours metav1.ListOptions) error {
	list, err := core.DiscoveryV1().EndpointSlices(metav1.NamespaceAll).List(ctx, ours)
	if err != nil {
		return fmt.Errorf("list EndpointSlices: %w", err)
	}
	var failed []error
	for _, s := range list.Items {
		failed = append(failed, deleted("EndpointSlice", core.DiscoveryV1().EndpointSlices(s.Namespace).Delete(ctx, s.Name, precondition(&s))))
	}
	return errors.Join(failed...)
}

// removeServices spares Services of Meshway that are not derived ones.
func removeServices(ctx context.Context, core kubernetes.Interface, ours metav1.ListOptions) error {
	list, err := core.CoreV1().Services(metav1.NamespaceAll).List(ctx, ours)
	if err != nil {
		return fmt.Errorf("list Services: %w", err)
	}
	var failed []error
	for _, s := range list.Items {
		if _, derived := mcs.ExportedName(&s); derived {
			failed = append(failed, deleted("derived Service", core.CoreV1().Services(s.Namespace).Delete(ctx, s.Name, precondition(&s))))
		}
	}
	return errors.Join(failed...)
}

func removeImports(ctx context.Context, multi mcsclient.Interface, ours metav1.ListOptions) error {
	served, err := probe(ctx, multi)
	if errors.Is(err, errCRDs) {
		return nil // they are gone, and all their objects with them
	}
	if err != nil {
		return err
	}
	list, err := served.imports(metav1.NamespaceAll).List(ctx, ours)
	if err != nil {
		return fmt.Errorf("list ServiceImports: %w", err)
	}
	var failed []error
	for _, i := range list.Items {
		failed = append(failed, deleted("ServiceImport", served.imports(i.Namespace).Delete(ctx, i.Name, precondition(&i))))
	}
	return errors.Join(failed...)
}
