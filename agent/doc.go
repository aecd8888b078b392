// Package agent documents meshd; the code is in the packages below it. Data
// flows one way:
//
//	config · catalog · kernel events · liveness · cluster
//	     → plan.Inputs → gatewayplan.Compute (pure) → plan.Desired + []plan.Problem
//	     → tunnel, routes, firewall (dataplane) · catalog (registrar)
//	     → observed → status.Snapshot → /metrics · readiness · meshctl
//
// What a pass observes is an input of the next pass only. Around that loop:
//
//	membership   joins and leaves: situation → decide (pure) → decision
//	member       the raft node and the control port of a member, and its files
//	dataplane    the loop of a gateway, and that of a node
//	registrar    what the catalog should contain about this gateway, minus what it contains
//	admin        what meshctl sends to the agent
//	api          the catalog for programs
//	control      what gateways send to each other
//	liveness     whether a tunnel works (BFD, RFC 5880)
//	pathmtu      the largest packet that passes a tunnel (RFC 8899)
//	kube         the cluster: node roles, prefixes, siblings, multi-cluster services
//	trust        which records of the catalog are verified and used
//	rotation     the stages in which a datacenter replaces its CA
//	host         what the host has: links, addresses, routes, sysctls
//	requirement  what the data plane uses, and a host may lack
//	interference rules of other programs that keep packets from the tunnels
//	cluster      the agent of a Kubernetes node: a gateway or not, and its removal
//	identity     keys, CA, certificates, tokens, the membership on disk
//	config       the configuration file
//	plan         inputs, desired states and problems; below it the planners of gateways and nodes
//	status       the view of all this for operators
//	notify       how a loop waits for changes
//
// # Glossary
//
// One word stands for one thing, in code, messages and documentation.
//
//   - Affinity: which endpoints of an imported service are preferred: local, remote, or none.
//   - AllowedIPs: the prefixes that WireGuard accepts from a peer and routes to it.
//   - Catalog: the replicated state: members, prefixes, keys, services. A record is an entry of it; a command is a write to it.
//   - Change: an item of the catalog that a command stored, replaced or deleted, as a program that watches gets it.
//   - Contact: a gateway that can admit another one, with its control addresses and the pin of its CA.
//   - Control address: host:port of a gateway's control port, where gateways send requests to each other.
//   - Datacenter: a cluster or a site that is a member of a federation.
//   - Drain: taking a gateway out of use. It is active, draining, or drained.
//   - Endpoint: host:port on the underlay where a gateway receives WireGuard packets; for services, an address that serves.
//   - Event: a command in the log, with its author and time, as meshctl events lists it. An Event of Kubernetes has a capital letter.
//   - Export, import: a service that a cluster offers to others, and the service as they see it (KEP-1645); a cluster also imports registered services on request.
//   - Federation: the datacenters that share one catalog.
//   - Gateway: a host of a datacenter that runs tunnels and takes part in the catalog. Its id is datacenter/name, its index the number of its lane.
//   - Guard: what keeps packets to other datacenters from leaving a host unencrypted: a chain of the firewall, and blackhole routes that need no device.
//   - Join token: a secret, valid for one join, that names the federation and the pin of the CA that created it.
//   - Ledger: what a gateway remembers of the records that it has verified: pins, versions, and the records themselves.
//   - Lane: the WireGuard interface meshN, with one peer for each other datacenter: its gateway of index N.
//   - Leader, follower, voter, term, lease: as in Raft.
//   - Membership lock: held by the gateway that changes the membership of its datacenter while its siblings wait.
//   - Mirror: a plain Service that routes to the endpoints of one exporting datacenter only.
//   - Nexthop, nexthop group: kernel objects; a route to a remote prefix uses a group of the lanes that work.
//   - Node: a host of a cluster that is no gateway. It routes remote prefixes to the gateways, over a shared link or a tunnel.
//   - Overlay address: the address of a gateway inside the tunnels.
//   - Path: how a node reaches a gateway: a shared link or a tunnel.
//   - Path MTU: the size of the largest packet that reaches a remote gateway through its tunnel and returns.
//   - Peer: a WireGuard peer, or the remote gateway that it is.
//   - Pin: the SHA-256 of the public key of a CA.
//   - Problem: a fault that the status reports, with a stable code, a subject, a message and a remedy.
//   - Refusal: why the catalog, or an agent, rejects a command, with a stable code, the field and the remedy. A refusal changes nothing.
//   - Session: a liveness session with a remote gateway through its tunnel; its state is up or down.
//   - Shared state: the CA and the membership that siblings share in a Secret.
//   - Sibling: another gateway of the same datacenter.
//   - Silent: a gateway from which nothing is received; liveness declares its session down, and its nexthops are not used (gatewayplan/silent.go).
//   - Site: a datacenter without Kubernetes; in code also the prefixes and addresses that a datacenter owns.
//   - Sponsor: the datacenter that invited another one, which counts as its sponsor for a week.
//   - Standby: a route to the siblings that applies while a prefix has no other route, because the devices of the lanes are gone.
//   - Succession: the replacement of a CA of a datacenter by one that the former CA has signed.
//   - Underlay: the network between the gateways that carries the tunnels.
//   - Witness: a datacenter that only votes: one host with a copy of the catalog, without prefixes.
package agent
