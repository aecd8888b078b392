package identity

import (
	"crypto/x509"
	"fmt"
	"net/url"
	"strings"

	"github.com/meshway/meshway/consensus/catalog"
)

// spiffeScheme is the URI scheme of SPIFFE IDs (SPIFFE-ID §2).
const spiffeScheme = "spiffe"

// Peer is the identity of a gateway in its certificate.
type Peer struct {
	Datacenter catalog.DatacenterName
	Gateway    string // name in its datacenter
}

// ID returns the gateway's ID in the catalog.
func (p Peer) ID() catalog.GatewayID { return catalog.NewGatewayID(p.Datacenter, p.Gateway) }

// String returns ID as a string.
func (p Peer) String() string { return string(p.ID()) }

// ParsePeer parses a gateway ID, whose parts must be DNS labels.
func ParsePeer(id catalog.GatewayID) (Peer, error) {
	p := Peer{Datacenter: id.Datacenter(), Gateway: id.Name()}
	if !isLabel(string(p.Datacenter)) || !isLabel(p.Gateway) {
		return Peer{}, fmt.Errorf("parse gateway id %q: want <datacenter>/<gateway>, both DNS labels", id)
	}
	return p, nil
}

// uri returns the SPIFFE ID of p in a federation.
func (p Peer) uri(federation string) *url.URL {
	return &url.URL{
		Scheme: spiffeScheme,
		Host:   federation,
		Path:   "/dc/" + string(p.Datacenter) + "/gateway/" + p.Gateway,
	}
}

// peerOf returns the gateway and the federation that a certificate identifies. The
// certificate must have exactly one subject alternative name, so that all verifiers
// find the same identity in it.
func peerOf(leaf *x509.Certificate) (p Peer, federation string, err error) {
	if len(leaf.URIs) != 1 || len(leaf.DNSNames)+len(leaf.IPAddresses)+len(leaf.EmailAddresses) > 0 {
		return Peer{}, "", fmt.Errorf("read certificate: want exactly one URI as subject alternative name")
	}
	u := leaf.URIs[0]
	parts := strings.Split(u.Path, "/") // "", dc, <name>, gateway, <name>
	if len(parts) != 5 || !isLabel(parts[2]) || !isLabel(parts[4]) || !isLabel(u.Host) {
		return Peer{}, "", fmt.Errorf("read certificate: %q is not the identity of a gateway", u.Redacted())
	}
	p = Peer{Datacenter: catalog.DatacenterName(parts[2]), Gateway: parts[4]}
	// The comparison with the canonical form refuses escapes, user info, port,
	// query, fragment and other path elements.
	if p.uri(u.Host).String() != u.String() {
		return Peer{}, "", fmt.Errorf("read certificate: %q is not the identity of a gateway", u.Redacted())
	}
	return p, u.Host, nil
}

// isLabel reports whether s is a DNS label (RFC 1123). A label cannot extend into the
// next part of a SPIFFE ID.
func isLabel(s string) bool { return catalog.ValidateName(s) == nil }
