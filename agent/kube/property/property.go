package property

import (
	"maps"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/meshway/meshway/agent/kube"
	"github.com/meshway/meshway/agent/status"
)

const (
	// ClusterID is the property that is unique in the federation: the name of the
	// datacenter (KEP-2149, "Well known properties").
	ClusterID = "cluster.clusterset.k8s.io"
	// ClusterSet is the property that all members share: the id of the federation.
	// Its name would read better, but two federations may have the same.
	ClusterSet = "clusterset.k8s.io"

	// WriterAnnotation names the gateway that stands for a property: it takes it
	// back when it leaves, and no gateway that is not a member (yet) does.
	WriterAnnotation = "meshway.io/gateway"

	group, kind, plural = "about.k8s.io", "ClusterProperty", "clusterproperties"
)

// resources are the versions of the API, the preferred one first. The upstream CRD
// stores v1beta1; older ones serve v1alpha1 only. Both have the same fields.
func resources() []schema.GroupVersionResource {
	return []schema.GroupVersionResource{
		{Group: group, Version: "v1beta1", Resource: plural},
		{Group: group, Version: "v1alpha1", Resource: plural},
	}
}

// desired is what a gateway wants the cluster to say.
type desired struct {
	known    bool // false: it is joining, or does not know yet; nothing is written or deleted
	self     string
	siblings []string          // gateways of the datacenter that are members, also this one
	values   map[string]string // by name of the property; empty: of no federation
}

func desiredState(s status.Snapshot) desired {
	d := desired{self: s.Self.Gateway}
	switch {
	case s.State == status.Standalone:
		d.known = true
	case s.State == status.Member && s.Federation != nil && s.Catalog.Synced:
		d.known = true
		d.values = map[string]string{ClusterID: s.Self.Datacenter, ClusterSet: s.Federation.ID}
		for _, dc := range s.Datacenters {
			for _, g := range dc.Gateways {
				if dc.Self {
					d.siblings = append(d.siblings, g.Name)
				}
			}
		}
	}
	return d
}

// equal says whether d and o lead to the same writes.
func (d desired) equal(o desired) bool {
	return d.known == o.known && slices.Equal(d.siblings, o.siblings) && maps.Equal(d.values, o.values)
}

// names are those of all properties that Meshway may write.
func names() []string { return []string{ClusterID, ClusterSet} }

// changes is what has to be done so that the cluster says what is wanted.
type changes struct {
	create, update []*unstructured.Unstructured
	remove         []*unstructured.Unstructured
	conflicting    []*unstructured.Unstructured // another manager's, with another value
}

// diff compares by name; nil stands for an object that is not there. What has not
// our label is never touched, whatever it says.
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

func withEntry(m map[string]string, key, value string) map[string]string {
	all := map[string]string{key: value}
	for k, v := range m {
		if k != key {
			all[k] = v
		}
	}
	return all
}

func valueOf(object *unstructured.Unstructured) string {
	value, _, _ := unstructured.NestedString(object.Object, "spec", "value") // of another type: not ours
	return value
}

// preconditions deletes the object that was looked at, not a later one of its name.
func preconditions(object *unstructured.Unstructured) metav1.DeleteOptions {
	uid, version := object.GetUID(), object.GetResourceVersion()
	return metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &uid, ResourceVersion: &version}}
}
