package property

import (
	"maps"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/meshway/meshway/agent/kube"
	"github.com/meshway/meshway/agent/plan"
)

const (
	// ClusterID is the property that is unique in the federation: the name of the
	// datacenter (KEP-2149, "Well known properties").
	ClusterID = "cluster.clusterset.k8s.io"
	// ClusterSet is the property that all members share: the id of the federation,
	// because the name of a federation is not unique.
	ClusterSet = "clusterset.k8s.io"

	// WriterAnnotation names the gateway that maintains a property. That gateway
	// deletes it when it leaves; a gateway that is not a member deletes no other.
	WriterAnnotation = "meshway.io/gateway"

	group, kind, plural = "about.k8s.io", "ClusterProperty", "clusterproperties"
)

// resources returns the versions of the API, the preferred one first. The upstream
// CRD stores v1beta1; older ones serve v1alpha1 only. Both have the same fields.
func resources() []schema.GroupVersionResource {
	return []schema.GroupVersionResource{
		{Group: group, Version: "v1beta1", Resource: plural},
		{Group: group, Version: "v1alpha1", Resource: plural},
	}
}

// desired is the desired state of the properties for one gateway.
type desired struct {
	known    bool // false: joining or catalog not synced; nothing is written or deleted
	self     string
	siblings []string          // gateways of the datacenter that are members, including this one
	values   map[string]string // by name of the property; empty: no member
}

func desiredState(r plan.Reachability) desired {
	d := desired{self: r.Self.Name()}
	switch {
	case r.State == plan.NotMember:
		d.known = true
	case r.State == plan.IsMember && r.Federation.ID != "" && r.Synced:
		d.known = true
		d.values = map[string]string{ClusterID: string(r.Self.Datacenter()), ClusterSet: r.Federation.ID}
		for _, dc := range r.Datacenters {
			for _, g := range dc.Gateways {
				if dc.Self {
					d.siblings = append(d.siblings, g.Name)
				}
			}
		}
	}
	return d
}

// equal reports whether d and o cause the same writes.
func (d desired) equal(o desired) bool {
	return d.known == o.known && slices.Equal(d.siblings, o.siblings) && maps.Equal(d.values, o.values)
}

// names returns the names of all properties that Meshway may write.
func names() []string { return []string{ClusterID, ClusterSet} }

// changes are the writes that establish the desired state.
type changes struct {
	create, update []*unstructured.Unstructured
	remove         []*unstructured.Unstructured
	conflicting    []*unstructured.Unstructured // of another manager, with another value
}

// diff returns the changes from the objects by name to the desired state. Objects
// without the label of Meshway are never changed.
func diff(have map[string]*unstructured.Unstructured, want desired, apiVersion string) changes {
	var c changes
	for _, name := range slices.Sorted(slices.Values(names())) {
		object, value := have[name], want.values[name]
		switch {
		case object == nil && value != "":
			c.create = append(c.create, encode(name, value, want.self, apiVersion))
		case object == nil:
		case object.GetLabels()[kube.ManagedByLabel] != kube.ManagedBy:
			if value != "" && valueOf(object) != value {
				c.conflicting = append(c.conflicting, object)
			}
		case value == "" && writer(object) == want.self:
			c.remove = append(c.remove, object)
		case value == "":
		case valueOf(object) != value || !slices.Contains(want.siblings, writer(object)):
			next := object.DeepCopy()
			next.Object["spec"] = map[string]any{"value": value}
			next.SetAnnotations(withEntry(object.GetAnnotations(), WriterAnnotation, want.self))
			c.update = append(c.update, next)
		}
	}
	return c
}

func encode(name, value, self, apiVersion string) *unstructured.Unstructured {
	object := &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{"value": value}}}
	object.SetAPIVersion(apiVersion)
	object.SetKind(kind)
	object.SetName(name)
	object.SetLabels(map[string]string{kube.ManagedByLabel: kube.ManagedBy})
	object.SetAnnotations(map[string]string{WriterAnnotation: self})
	return object
}

func writer(object *unstructured.Unstructured) string {
	return object.GetAnnotations()[WriterAnnotation]
}

// withEntry returns a copy of m with one entry set.
func withEntry(m map[string]string, key, value string) map[string]string {
	out := map[string]string{}
	maps.Copy(out, m)
	out[key] = value
	return out
}

func valueOf(object *unstructured.Unstructured) string {
	value, _, _ := unstructured.NestedString(object.Object, "spec", "value") // "" if it has another type: not written by Meshway
	return value
}

// preconditions limits a deletion to the version of the object that was read.
func preconditions(object *unstructured.Unstructured) metav1.DeleteOptions {
	uid, version := object.GetUID(), object.GetResourceVersion()
	return metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &uid, ResourceVersion: &version}}
}
