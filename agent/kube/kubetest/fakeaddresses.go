package kubetest

import (
	"fmt"
	"sync"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
	clienttesting "k8s.io/client-go/testing"
)

// allocate sets the addresses of a Service.
func allocate(s *corev1.Service, n int64) {
	if s.Spec.Type == corev1.ServiceTypeExternalName {
		return
	}
	if len(s.Spec.IPFamilies) == 0 {
		s.Spec.IPFamilies = []corev1.IPFamily{corev1.IPv4Protocol}
	}
	if s.Spec.ClusterIP == "" {
		s.Spec.ClusterIP = fmt.Sprintf("10.96.%d.%d", n/250, n%250+1)
	}
	s.Spec.ClusterIPs = []string{s.Spec.ClusterIP}
	if p := s.Spec.IPFamilyPolicy; p != nil && *p == corev1.IPFamilyPolicyPreferDualStack {
		s.Spec.IPFamilies = []corev1.IPFamily{corev1.IPv4Protocol, corev1.IPv6Protocol}
		s.Spec.ClusterIPs = append(s.Spec.ClusterIPs, fmt.Sprintf("fd00:96::%x", n))
	}
}

// releases refuses the address of a deleted Service once, as the API server does for
// some milliseconds in one of about 40 deletions.
type releases struct {
	tracker clienttesting.ObjectTracker

	mu   sync.Mutex // guards held
	held map[string]bool
}

// react is a clienttesting.ReactionFunc for Services.
func (r *releases) react(action clienttesting.Action) (bool, runtime.Object, error) {
	switch a := action.(type) {
	case clienttesting.CreateAction:
		if s, ok := a.GetObject().(*corev1.Service); ok {
			return r.create(s)
		}
	case clienttesting.DeleteAction:
		object, err := r.tracker.Get(a.GetResource(), a.GetNamespace(), a.GetName())
		if s, ok := object.(*corev1.Service); ok && err == nil {
			r.hold(s.Spec.ClusterIP)
		}
	}
	return false, nil, nil
}

func (r *releases) hold(address string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.held == nil {
		r.held = make(map[string]bool)
	}
	r.held[address] = true
}

func (r *releases) create(s *corev1.Service) (bool, runtime.Object, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.held[s.Spec.ClusterIP] {
		return false, nil, nil
	}
	delete(r.held, s.Spec.ClusterIP)
	text := fmt.Sprintf("failed to allocate IP %s: provided IP is already allocated", s.Spec.ClusterIP)
	path := field.NewPath("spec", "clusterIPs")
	return true, nil, apierrors.NewInvalid(corev1.SchemeGroupVersion.WithKind("Service").GroupKind(), s.Name,
		field.ErrorList{field.Invalid(path, s.Spec.ClusterIPs, text)})
}
