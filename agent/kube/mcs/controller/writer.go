package controller

import (
	"context"
	"errors"
	"fmt"
	"maps"

	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	mcsv1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/meshway/meshway/agent/kube/mcs"
	"github.com/meshway/meshway/consensus/catalog"
)

var (
	// errNotManaged is returned for an object that Meshway did not write.
	errNotManaged = errors.New("it was not created by Meshway")
	// errNameTaken is returned for a mirror whose name belongs to another exported name.
	errNameTaken = errors.New("another export has this name")
)

// writer writes the objects of one name that differ from the cache. It is used for one
// reconciliation.
type writer struct {
	cfg   Config
	api   api
	cache *clusterCache
	name  catalog.ServiceName
	owner metav1.OwnerReference
}

// serviceImport creates the ServiceImport, or updates all of it but the IPs and the
// status, which writeImportStatus writes.
func (w writer) serviceImport(ctx context.Context, want *mcsv1.ServiceImport) (*mcsv1.ServiceImport, error) {
	client := w.api.imports(w.name.Namespace)
	have := w.cache.serviceImport(w.name)
	if have == nil {
		created, err := client.Create(ctx, want, metav1.CreateOptions{})
		if err != nil {
			return nil, fmt.Errorf("create ServiceImport: %w", err)
		}
		created.Status = mcsv1.ServiceImportStatus{}
		return created, nil
	}
	if have.DeletionTimestamp != nil {
		return nil, errors.New("replace ServiceImport: the old one is being deleted")
	}
	next := have.DeepCopy()
	next.Labels, next.Annotations = want.Labels, withPreference(want.Annotations, have.Annotations)
	next.Spec = want.Spec
	if want.Spec.Type == have.Spec.Type {
		next.Spec.IPs, next.Spec.IPFamilies = have.Spec.IPs, have.Spec.IPFamilies
	}
	if equality.Semantic.DeepEqual(have, next) {
		return have, nil
	}
	updated, err := client.Update(ctx, next, metav1.UpdateOptions{})
	if err != nil {
		return nil, fmt.Errorf("update ServiceImport: %w", err)
	}
	return updated, nil
}

// withPreference returns annotations with those of have by which users of this cluster
// set its preference.
func withPreference(annotations, have map[string]string) map[string]string {
	all := maps.Clone(annotations)
	for _, key := range []string{mcs.AffinityAnnotation, mcs.MinimumHealthyAnnotation} {
		if value, set := have[key]; set {
			if all == nil {
				all = make(map[string]string)
			}
			all[key] = value
		}
	}
	return all
}

// writeImportStatus writes the IPs and the status of a ServiceImport, without fields
// that the CRD does not have.
func (w writer) writeImportStatus(ctx context.Context, have, next *mcsv1.ServiceImport) error {
	client := w.api.imports(w.name.Namespace)
	next = next.DeepCopy()
	w.api.fields.pruneImport(next)
	status := next.Status
	if !equality.Semantic.DeepEqual(have.Spec, next.Spec) {
		updated, err := client.Update(ctx, next, metav1.UpdateOptions{})
		if err != nil {
			return fmt.Errorf("update ServiceImport: %w", err)
		}
		next = updated
	}
	if equality.Semantic.DeepEqual(have.Status, status) {
		return nil
	}
	next = next.DeepCopy()
	next.Status = status
	if _, err := client.UpdateStatus(ctx, next, metav1.UpdateOptions{}); err != nil {
		return fmt.Errorf("update status of ServiceImport: %w", err)
	}
	return nil
}

func (w writer) deleteImport(ctx context.Context) error {
	have := w.cache.serviceImport(w.name)
	if have == nil || !mcs.IsManaged(have) || have.DeletionTimestamp != nil {
		return nil
	}
	err := w.api.imports(have.Namespace).Delete(ctx, have.Name, onlyThis(have))
	return deleteError("ServiceImport", err)
}

// slices writes the EndpointSlices of want and deletes all others. A slice that fails
// does not hold back the rest.
func (w writer) slices(ctx context.Context, want []*discoveryv1.EndpointSlice) error {
	client := w.cfg.Kubernetes.DiscoveryV1().EndpointSlices(w.name.Namespace)
	have := make(map[string]*discoveryv1.EndpointSlice)
	for _, s := range w.cache.endpointSlices(importedIndex, w.name) {
		have[s.Name] = s
	}
	var failed []error
	for _, s := range want {
		failed = append(failed, w.slice(ctx, have[s.Name], s))
		delete(have, s.Name)
	}
	for _, s := range have {
		failed = append(failed, deleteError("EndpointSlice", client.Delete(ctx, s.Name, onlyThis(s))))
	}
	return errors.Join(failed...)
}

func (w writer) slice(ctx context.Context, have, want *discoveryv1.EndpointSlice) error {
	client := w.cfg.Kubernetes.DiscoveryV1().EndpointSlices(w.name.Namespace)
	want.OwnerReferences = []metav1.OwnerReference{w.owner}
	if have == nil {
		if _, err := client.Create(ctx, want, metav1.CreateOptions{}); err != nil {
			return fmt.Errorf("create EndpointSlice: %w", err)
		}
		return nil
	}
	next := have.DeepCopy()
	next.Labels, next.OwnerReferences = want.Labels, want.OwnerReferences
	next.AddressType, next.Endpoints, next.Ports = want.AddressType, want.Endpoints, want.Ports
	if equality.Semantic.DeepEqual(have, next) {
		return nil
	}
	if _, err := client.Update(ctx, next, metav1.UpdateOptions{}); err != nil {
		return fmt.Errorf("update EndpointSlice: %w", err)
	}
	return nil
}

// onlyThis restricts a deletion to object, so that a later one of the same name is kept.
func onlyThis(object metav1.Object) metav1.DeleteOptions {
	uid := object.GetUID()
	return metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &uid}}
}

// deleteError returns the error of a deletion. An object that does not exist is no
// error.
func deleteError(kind string, err error) error {
	if err == nil || apierrors.IsNotFound(err) {
		return nil
	}
	return fmt.Errorf("delete %s: %w", kind, err)
}
