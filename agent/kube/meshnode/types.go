package meshnode

import (
	"net/netip"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// The names of the API; deploy/chart/meshway/crds has the schema.
const (
	Group   = "meshway.io"
	Version = "v1alpha1"
	Kind    = "MeshNode"
)

// Resource is that of the MeshNode objects.
func Resource() schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: Group, Version: Version, Resource: "meshnodes"}
}

// MeshNode is what a node that is no gateway says of itself. Its name is that
// of the Node, which owns it. It is written by the agent of that node, never by
// people.
type MeshNode struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`
	Spec              Spec `json:"spec"`
}

// Spec is the node's end of its tunnels, and who is at the other one.
type Spec struct {
	PublicKey string   `json:"publicKey"`         // base64
	Port      int32    `json:"port"`              // UDP, for the gateway of index 0; add the index of others
	Tunnels   []string `json:"tunnels,omitempty"` // gateways that are on no link of the node, sorted
	Links     []string `json:"links,omitempty"`   // gateways that are, sorted
	// PodCIDRs are the ranges of the pods of this node, sorted, if
	// Node.spec.podCIDRs does not have them all.
	PodCIDRs []string `json:"podCIDRs,omitempty"`
}

// pods are the PodCIDRs that are prefixes.
func (s Spec) pods() []netip.Prefix {
	var out []netip.Prefix
	for _, text := range s.PodCIDRs {
		if p, err := netip.ParsePrefix(text); err == nil {
			out = append(out, p.Masked())
		}
	}
	return out
}

// Decode reads an object of the dynamic client.
func Decode(object map[string]any) (MeshNode, error) {
	var m MeshNode
	err := runtime.DefaultUnstructuredConverter.FromUnstructured(object, &m)
	return m, err
}

// Encode makes an object for the dynamic client.
func (m MeshNode) Encode() (map[string]any, error) {
	m.APIVersion, m.Kind = Group+"/"+Version, Kind
	return runtime.DefaultUnstructuredConverter.ToUnstructured(&m)
}
