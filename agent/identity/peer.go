package identity

import (
	"crypto/x509"
	"fmt"
	"net/url"
	"strings"

	"github.com/meshway/meshway/consensus/catalog"
)

// spiffeScheme is that of SPIFFE IDs (SPIFFE-ID §2).
const spiffeScheme = "spiffe"

// Peer is a gateway as its certificate names it.
type Peer struct {
	Datacenter catalog.DatacenterName
	Gateway    string // name in its datacenter
}

// ID returns the gateway's name in the whole federation.
func (p Peer) ID() catalog.GatewayID { return catalog.NewGatewayID(p.Datacenter, p.Gateway) }

// String returns the gateway's name in the whole federation.
func (p Peer) String() string { return string(p.ID()) }

// ParsePeer takes a gateway id apart.
func ParsePeer(id catalog.GatewayID) (Peer, error) {
	p := Peer{Datacenter: id.Datacenter(), Gateway: id.Name()}
	if !isLabel(string(p.Datacenter)) || !isLabel(p.Gateway) {
		return Peer{}, fmt.Errorf("parse gateway id %q: want <datacenter>/<gateway>, both DNS labels", id)
	}
	return p, nil
}

// uri is the SPIFFE ID of a gateway of a federation.
func (p Peer) uri(federation string) *url.URL {
	return &url.URL{
		Scheme: spiffeScheme,
		Host:   federation,
		Path:   "/dc/" + string(p.Datacenter) + "/gateway/" + p.Gateway,
	}
}

// peerOf reads who a certificate speaks for. It has to have exactly one
// subject alternative name, so that no two verifiers can read two names out of it.
func peerOf(leaf *x509.Certificate) (p Peer, federation string, err error) {
	if len(leaf.URIs) != 1 || len(leaf.DNSNames)+len(leaf.IPAddresses)+len(leaf.EmailAddresses) > 0 {
		return Peer{}, "", fmt.Errorf("read certificate: want exactly one URI as subject alternative name")
	}
	u := leaf.URIs[0]
	parts := strings.Split(u.Path, "/") // "", dc, <name>, gateway, <name>
	if len(parts) != 5 || !isLabel(parts[2]) || !isLabel(parts[4]) || !isLabel(u.Host) {
		return Peer{}, "", fmt.Errorf("read certificate: %q is no identity of a gateway", u.Redacted())
	}
	p = Peer{Datacenter: catalog.DatacenterName(parts[2]), Gateway: parts[4]}
	// Building it again and comparing refuses every other spelling: escapes,
	// user info, port, query, fragment, other words.
	if p.uri(u.Host).String() != u.String() {
		return Peer{}, "", fmt.Errorf("read certificate: %q is no identity of a gateway", u.Redacted())
	}
	return p, u.Host, nil
}

// isLabel reports whether s is a DNS label (RFC 1123): also what keeps a name
// from reaching over into the next part of a SPIFFE ID.
func isLabel(s string) bool {
	if len(s) == 0 || len(s) > 63 || s[0] == '-' || s[len(s)-1] == '-' {
		return false
	}
	for i := range len(s) {
		if c := s[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return true
}
