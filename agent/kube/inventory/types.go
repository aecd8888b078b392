package inventory

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/meshway/meshway/agent/kube"
)

// Kind returns the kind of the Datacenter objects.
func Kind() kube.Kind[Datacenter] {
	return kube.Kind[Datacenter]{Name: "Datacenter", Plural: "datacenters"}
}

// The types and reasons of the conditions.
const (
	ConditionReachable = "Reachable" // a tunnel to the datacenter works
	ConditionReady     = "Ready"     // reachable, and all announced prefixes are routed

	ReasonSelf            = "Self"          // the datacenter is this cluster
	ReasonTunnelUp        = "TunnelUp"      // at least one gateway answers
	ReasonNoTunnel        = "NoTunnel"      // no gateway answers
	ReasonNoGateway       = "NoGateway"     // the datacenter has no gateway
	ReasonRouted          = "Routed"        // all prefixes are routed
	ReasonWitness         = "Witness"       // it has no prefixes: it only votes
	ReasonPrefixesRefused = "PrefixRefused" // some prefixes are not routed
	ReasonNotReachable    = "NotReachable"  // see Reachable
	ReasonDeparted        = "Departed"      // the own datacenter has left the federation
	reasonJoined          = "Joined"        // of an Event
	reasonLeft            = "Left"          // of an Event
	reasonReachable       = "Reachable"     // of an Event
	reasonUnreachable     = "Unreachable"   // of an Event

	reasonGatewayAdded   = "GatewayAdded"   // of an Event
	reasonGatewayRemoved = "GatewayRemoved" // of an Event
)

// Datacenter is one member of the federation. Only the gateways of the cluster
// write it.
type Datacenter struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`
	Status            Status `json:"status,omitempty"`
}

// Status is the state of a datacenter as the gateways of this cluster observe it.
type Status struct {
	Self       bool               `json:"self,omitempty"` // this cluster
	Ordinal    int64              `json:"ordinal"`        // assigned by the catalog, never changes
	Federation string             `json:"federation,omitempty"`
	Overlay    string             `json:"overlay,omitempty"` // prefix of the overlay network
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

// Gateway is the status of a gateway, merged from what the gateways of this cluster
// observe.
type Gateway struct {
	Name      string   `json:"name"`
	Index     int64    `json:"index"`
	NodeIPs   []string `json:"nodeIPs,omitempty"` // only for gateways of this cluster
	Overlay   string   `json:"overlay,omitempty"`
	Endpoint  string   `json:"endpoint,omitempty"` // the first of the advertised endpoints
	Version   string   `json:"version,omitempty"`
	Reachable bool     `json:"reachable"`     // by at least one gateway of this cluster
	RTT       string   `json:"rtt,omitempty"` // the lowest that was measured: 12ms
}

// Through is the datacenter as one gateway of this cluster observes it. Each
// gateway writes its own entry and keeps those of the others.
type Through struct {
	Gateway string      `json:"gateway"`
	Peers   []Peer      `json:"peers,omitempty"`  // by index; empty in the object of the own cluster
	Tunnel  *NodeTunnel `json:"tunnel,omitempty"` // only in the object of the own cluster
}

// NodeTunnel is the end of the tunnels of a gateway to nodes with which it shares no
// link.
type NodeTunnel struct {
	PublicKey string `json:"publicKey"` // base64
	Port      int32  `json:"port"`      // UDP
}

// Peer is a remote gateway as a gateway of this cluster observes it.
type Peer struct {
	Name      string `json:"name"`
	Reachable bool   `json:"reachable"`
	RTT       string `json:"rtt,omitempty"`
}

// Summary has the columns of kubectl get.
type Summary struct {
	Prefixes string `json:"prefixes,omitempty"` // 10.1.0.0/16,10.101.0.0/16
	Gateways string `json:"gateways,omitempty"` // reachable and total number: 1/2
	RTT      string `json:"rtt,omitempty"`
}
