package controller

import (
	"context"
	"errors"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	mcsv1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/meshway/meshway/agent/kube/mcs"
)

// service writes the derived Service, or deletes it if want is nil. One that another
// program deleted gets the addresses of the import again: clients may have them cached.
// If another Service has them, or the API server refuses them for another reason, it
// assigns others.
func (w writer) service(ctx context.Context, want *corev1.Service, imported *mcsv1.ServiceImport) (*corev1.Service, error) {
	if want == nil {
		return nil, w.deleteService(ctx)
	}
	// It is read once: the deletion may reach the cache at any time, and a Service that is
	// created without addresses gets others.
	if have := w.cache.service(want.Namespace, want.Name); have != nil {
		return w.updateService(ctx, "derived Service", have, want)
	}
	// The cache may have the deletion of the Service and not yet the addresses of the import.
	current, err := w.api.imports(imported.Namespace).List(ctx, metav1.ListOptions{FieldSelector: "metadata.name=" + imported.Name})
	if err != nil {
		return nil, fmt.Errorf("read ServiceImport: %w", err)
	}
	for i := range current.Items {
		if current.Items[i].UID == imported.UID {
			imported = &current.Items[i]
		}
	}
	if same := mcs.WithAddresses(want, imported); same != nil {
		created, err := w.createService(ctx, "derived Service", same)
		if isAllocated(err) && !w.cache.othersHaveAddress(same) {
			return nil, fmt.Errorf("%w: %w", errAddressHeld, err)
		}
		if !apierrors.IsInvalid(err) {
			return created, err
		}
		w.cfg.Log.Warn("the API server refuses the addresses of a deleted Service and assigns others", "service", same.Namespace+"/"+same.Name, "err", err)
	}
	return w.createService(ctx, "derived Service", want)
}

// errAddressHeld is returned until the API server releases the addresses of a Service
// that was deleted, which it does some time after the deletion.
var errAddressHeld = errors.New("the API server has not released the addresses of the deleted Service")

// isAllocated reports whether the API server refused an address that it has allocated
// (pkg/registry/core/service/ipallocator: ErrAllocated).
func isAllocated(err error) bool {
	return apierrors.IsInvalid(err) && strings.Contains(err.Error(), "already allocated")
}

// putService creates a Service or updates it to want. kind names it in errors.
func (w writer) putService(ctx context.Context, kind string, want *corev1.Service) (*corev1.Service, error) {
	if have := w.cache.service(want.Namespace, want.Name); have != nil {
		return w.updateService(ctx, kind, have, want)
	}
	return w.createService(ctx, kind, want)
}

func (w writer) createService(ctx context.Context, kind string, want *corev1.Service) (*corev1.Service, error) {
	created, err := w.cfg.Kubernetes.CoreV1().Services(want.Namespace).Create(ctx, w.owned(want), metav1.CreateOptions{})
	if err != nil {
		return nil, fmt.Errorf("create %s: %w", kind, err)
	}
	return created, nil
}

// owned returns want as the API server stores it.
func (w writer) owned(want *corev1.Service) *corev1.Service {
	want = want.DeepCopy()
	want.OwnerReferences = []metav1.OwnerReference{w.owner}
	for i := range want.Spec.Ports { // the default of the API server, so that they compare equal
		want.Spec.Ports[i].TargetPort = intstr.FromInt32(want.Spec.Ports[i].Port)
	}
	return want
}

func (w writer) updateService(ctx context.Context, kind string, have, want *corev1.Service) (*corev1.Service, error) {
	want = w.owned(want)
	if !mcs.IsManaged(have) {
		return nil, fmt.Errorf("write Service %s: %w: delete or rename it, since it has the name of the %s", have.Name, errNotManaged, kind)
	}
	if headless(have) != headless(want) { // the API server does not allow this change
		if err := w.deleteMirror(ctx, have); err != nil {
			return nil, err
		}
		return nil, fmt.Errorf("write Service %s: %w", have.Name, errBeingReplaced)
	}
	next := have.DeepCopy()
	next.Labels, next.OwnerReferences = want.Labels, want.OwnerReferences
	mcs.MergeSpec(&next.Spec, want.Spec)
	if equality.Semantic.DeepEqual(have, next) {
		return have, nil
	}
	updated, err := w.cfg.Kubernetes.CoreV1().Services(have.Namespace).Update(ctx, next, metav1.UpdateOptions{})
	if err != nil {
		return have, fmt.Errorf("update %s: %w", kind, err)
	}
	return updated, nil
}

var errBeingReplaced = errors.New("the headless Service of that name is being replaced")

func headless(s *corev1.Service) bool { return s.Spec.ClusterIP == corev1.ClusterIPNone }

func (w writer) deleteService(ctx context.Context) error {
	have := w.cache.service(w.name.Namespace, mcs.DerivedName(w.name))
	if have == nil || !mcs.IsManaged(have) || have.DeletionTimestamp != nil {
		return nil
	}
	err := w.cfg.Kubernetes.CoreV1().Services(have.Namespace).Delete(ctx, have.Name, onlyThis(have))
	return deleteError("derived Service", err)
}

// mirrors writes the mirrors of i and deletes all others. A mirror that fails, as
// when another Service has its name, does not hold back the rest. A Service whose name
// now belongs to another export is left to that one, which takes it over with its
// address.
func (w writer) mirrors(ctx context.Context, i mcs.Import) error {
	have := make(map[string]*corev1.Service)
	for _, s := range w.cache.mirrors(w.name) {
		have[s.Name] = s
	}
	var failed []error
	for _, s := range i.Mirrors {
		_, err := w.putService(ctx, "mirror", s)
		failed = append(failed, err)
		delete(have, s.Name)
	}
	for _, m := range i.Refused {
		failed = append(failed, fmt.Errorf("write Service %s: %w: %s", m.Name, errNameTaken, m.Reason))
		delete(have, m.Name)
	}
	for _, s := range have {
		failed = append(failed, w.deleteMirror(ctx, s))
	}
	return errors.Join(failed...)
}

func (w writer) deleteMirror(ctx context.Context, s *corev1.Service) error {
	if s.DeletionTimestamp != nil {
		return nil
	}
	return deleteError("mirror", w.cfg.Kubernetes.CoreV1().Services(s.Namespace).Delete(ctx, s.Name, onlyThis(s)))
}
