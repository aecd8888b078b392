package kube

import (
	"context"
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/dynamicinformer"

	"github.com/meshway/meshway/agent/notify"
)

// Kind is a cluster-scoped custom resource of Meshway; deploy/chart/meshway/crds
// has its schema. Its objects have the Go type T.
type Kind[T any] struct {
	Name   string // as in the objects
	Plural string // as in the path of the API
}

// GroupVersion returns the API group and version of Meshway's kinds.
func (Kind[T]) GroupVersion() schema.GroupVersion {
	return schema.GroupVersion{Group: "meshway.io", Version: "v1alpha1"}
}

// Resource returns the name of the kind in the API.
func (k Kind[T]) Resource() schema.GroupVersionResource {
	return k.GroupVersion().WithResource(k.Plural)
}

// Encode converts a value to an object for the dynamic client.
func (k Kind[T]) Encode(value T) (*unstructured.Unstructured, error) {
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(&value)
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", k.Name, err)
	}
	object := &unstructured.Unstructured{Object: content}
	object.SetGroupVersionKind(k.GroupVersion().WithKind(k.Name))
	return object, nil
}

// Decode converts an object of the dynamic client to a value.
func (k Kind[T]) Decode(object *unstructured.Unstructured) (T, error) {
	var value T
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, &value); err != nil {
		return value, fmt.Errorf("decode %s %s: %w", k.Name, object.GetName(), err)
	}
	return value, nil
}

// Objects reads the objects of a kind from an informer and writes them to the
// API server. A write takes at most writeTimeout.
type Objects[T any] struct {
	*Source
	kind   Kind[T]
	client dynamic.ResourceInterface
}

// NewObjects returns the object of a kind that has the given name, or all
// objects of the kind if name is empty. wake is set after every change.
func NewObjects[T any](client dynamic.Interface, kind Kind[T], name string, wake notify.Signal) (*Objects[T], error) {
	informer := dynamicinformer.NewFilteredDynamicInformer(client, kind.Resource(), metav1.NamespaceAll, 0, nil, named(name)).Informer()
	source, err := NewSource(informer, nil, wake)
	return &Objects[T]{Source: source, kind: kind, client: client.Resource(kind.Resource())}, err
}

// List returns the objects by name. The error names those that cannot be
// decoded; they are left out.
func (o *Objects[T]) List() (map[string]T, error) {
	values := map[string]T{}
	var failed []error
	for _, object := range Items[*unstructured.Unstructured](o.Source) {
		value, err := o.kind.Decode(object)
		if err != nil {
			failed = append(failed, err)
			continue
		}
		values[object.GetName()] = value
	}
	return values, errors.Join(failed...)
}

// Create creates an object without its status and returns it as it was stored.
func (o *Objects[T]) Create(ctx context.Context, value T) (T, error) {
	return o.send(ctx, "create", value, func(ctx context.Context, object *unstructured.Unstructured) (*unstructured.Unstructured, error) {
		delete(object.Object, "status")
		return o.client.Create(ctx, object, metav1.CreateOptions{})
	})
}

// Replace creates an object, or replaces the one of its name. The API server
// refuses to replace another version than the informer has.
func (o *Objects[T]) Replace(ctx context.Context, value T) error {
	_, err := o.send(ctx, "write", value, func(ctx context.Context, object *unstructured.Unstructured) (*unstructured.Unstructured, error) {
		for _, have := range Items[*unstructured.Unstructured](o.Source) {
			if have.GetName() == object.GetName() {
				object.SetResourceVersion(have.GetResourceVersion())
				return o.client.Update(ctx, object, metav1.UpdateOptions{})
			}
		}
		return o.client.Create(ctx, object, metav1.CreateOptions{})
	})
	return err
}

// UpdateStatus replaces the status of an object. The API server refuses it if
// the object has another version than value.
func (o *Objects[T]) UpdateStatus(ctx context.Context, value T) error {
	_, err := o.send(ctx, "update the status of", value, func(ctx context.Context, object *unstructured.Unstructured) (*unstructured.Unstructured, error) {
		return o.client.UpdateStatus(ctx, object, metav1.UpdateOptions{})
	})
	return err
}

func (o *Objects[T]) send(ctx context.Context, verb string, value T,
	request func(context.Context, *unstructured.Unstructured) (*unstructured.Unstructured, error),
) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	object, err := o.kind.Encode(value)
	if err != nil {
		return value, err
	}
	written, err := request(ctx, object)
	if err != nil {
		return value, fmt.Errorf("%s %s %s: %w", verb, o.kind.Name, object.GetName(), err)
	}
	return o.kind.Decode(written)
}

// Delete deletes the object with this name and UID. It is no error if there is
// no object of this name.
func (o *Objects[T]) Delete(ctx context.Context, name string, uid types.UID) error {
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	err := o.client.Delete(ctx, name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &uid}})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("delete %s %s: %w", o.kind.Name, name, err)
	}
	return nil
}
