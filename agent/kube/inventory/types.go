package inventory

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// The names of the API; deploy/chart/meshway/crds has the schema.
const (
	Group   = "meshway.io"
	Version = "v1alpha1"
	Kind    = "Datacenter"
)

// Resource is that of the Datacenter objects.
func Resource() schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: Group, Version: Version, Resource: "datacenters"}
}

// The types and reasons of the conditions.
const (
	ConditionReachable = "Reachable" // a tunnel to it works
	ConditionReady     = "Ready"     // reachable, and all that it announces is routed

	ReasonSelf            = "Self"          // it is this cluster itself
	ReasonTunnelUp        = "TunnelUp"      // at least one gateway answers
	ReasonNoTunnel        = "NoTunnel"      // no gateway answers
	ReasonNoGateway       = "NoGateway"     // it has none
	ReasonRouted          = "Routed"        // all prefixes are routed
	ReasonPrefixesRefused = "PrefixRefused" // some prefixes are not routed
	ReasonNotReachable    = "NotReachable"  // see Reachable
	reasonJoined          = "Joined"        // of an Event
	reasonLeft            = "Left"          // of an Event
	reasonReachable       = "Reachable"     // of an Event
	reasonUnreachable     = "Unreachable"   // of an Event

	reasonGatewayAdded   = "GatewayAdded"   // of an Event
	reasonGatewayRemoved = "GatewayRemoved" // of an Event
)

// Datacenter is one member of the federation. It is written by the gateways
// of the cluster, never by people.
type Datacenter struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`
	Status            Status `json:"status,omitempty"`
}

// Status is what is known of a datacenter.
type Status struct {
	Self       bool               `json:"self,omitempty"` // this cluster
	Ordinal    int64              `json:"ordinal"`        // given by the catalog, never changes
	Federation string             `json:"federation,omitempty"`
	Overlay    string             `json:"overlay,omitempty"` // prefix of the federation's overlay
	Prefixes   []Prefix           `json:"prefixes,omitempty"`
	Gateways   []Gateway          `json:"gateways,omitempty"`
	Through    []Through          `json:"through,omitempty"` // sorted by gateway
	Summary    Summary            `json:"summary"`
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// Prefix is a range that the datacenter owns.
type Prefix struct {
	CIDR string `json:"cidr"`
	Kind string `json:"kind"` // pod, service, node
}

// Gateway is a gateway of the datacenter.
type Gateway struct {
	Name      string   `json:"name"`
	Index     int64    `json:"index"`
	NodeIPs   []string `json:"nodeIPs,omitempty"` // only of this cluster
	Overlay   string   `json:"overlay,omitempty"`
	Endpoint  string   `json:"endpoint,omitempty"` // the first that it advertises
	Version   string   `json:"version,omitempty"`
	Reachable bool     `json:"reachable"`     // by at least one gateway of this cluster
	RTT       string   `json:"rtt,omitempty"` // the least that was measured: 12ms
}

// Through is what one gateway of this cluster sees of the datacenter. Each
// gateway writes its own entry and leaves those of the others.
type Through struct {
	Gateway string      `json:"gateway"`
	Peers   []Peer      `json:"peers,omitempty"`  // by index; none in the object of the cluster itself
	Tunnel  *NodeTunnel `json:"tunnel,omitempty"` // only in the object of the cluster itself
}

// NodeTunnel is where a gateway takes tunnels of nodes that are on none of its links.
type NodeTunnel struct {
	PublicKey string `json:"publicKey"` // base64
	Port      int32  `json:"port"`      // UDP
}

// Peer is a gateway as another sees it.
type Peer struct {
	Name      string `json:"name"`
	Reachable bool   `json:"reachable"`
	RTT       string `json:"rtt,omitempty"`
}

// Summary is what kubectl get shows.
type Summary struct {
	Prefixes string `json:"prefixes,omitempty"` // 10.1.0.0/16,10.101.0.0/16
	Gateways string `json:"gateways,omitempty"` // reachable of all: 1/2
	RTT      string `json:"rtt,omitempty"`
}

// Decode reads an object of the dynamic client.
func Decode(object map[string]any) (Datacenter, error) {
	var dc Datacenter
	err := runtime.DefaultUnstructuredConverter.FromUnstructured(object, &dc)
	return dc, err
}

// Encode makes an object for the dynamic client.
func (dc Datacenter) Encode() (map[string]any, error) {
	dc.APIVersion, dc.Kind = Group+"/"+Version, Kind
	return runtime.DefaultUnstructuredConverter.ToUnstructured(&dc)
}
