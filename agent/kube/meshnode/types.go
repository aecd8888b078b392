package meshnode

import (
	"net/netip"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/meshway/meshway/agent/kube"
)

// Kind returns the kind of the MeshNode objects.
func Kind() kube.Kind[MeshNode] { return kube.Kind[MeshNode]{Name: "MeshNode", Plural: "meshnodes"} }

// MeshNode describes a node that is no gateway. It has the name of the Node, which
// owns it. Only the agent of that node writes it.
type MeshNode struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`
	Spec              Spec `json:"spec"`
}

// Spec is the node's end of its tunnels and the gateways at the other end.
type Spec struct {
	PublicKey string   `json:"publicKey"`         // base64
	Port      int32    `json:"port"`              // UDP, for the gateway of index 0; others: plus their index
	Tunnels   []string `json:"tunnels,omitempty"` // gateways that share no link with the node, sorted
	Links     []string `json:"links,omitempty"`   // gateways that share a link with it, sorted
	// PodCIDRs are the ranges of the pods of the node, sorted. They are empty if
	// Node.spec.podCIDRs covers them.
	PodCIDRs []string `json:"podCIDRs,omitempty"`
}

// pods returns the valid prefixes of PodCIDRs.
func (s Spec) pods() []netip.Prefix {
	var out []netip.Prefix
	for _, text := range s.PodCIDRs {
		if p, err := netip.ParsePrefix(text); err == nil {
			out = append(out, p.Masked())
		}
	}
	return out
}
