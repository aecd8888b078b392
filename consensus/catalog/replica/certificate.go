package replica

import (
	"bytes"
	"crypto/x509"
	"fmt"

	"github.com/meshway/meshway/consensus/catalog"
)

// checkCertificate refuses a CA certificate whose key another datacenter has: two
// datacenters that share a CA key could impersonate each other's gateways. It
// ignores the certificate's validity period, because a datacenter is trusted as
// long as it is in the catalog.
//
// Members built with different versions of Go may disagree about a certificate
// at the edge of the standard. Check therefore parses the certificate before it
// is in the log, so that the leader's build accepts every certificate that is
// applied. Certificates that meshd creates are far from any edge.
func (w *writer) checkCertificate(der []byte) *catalog.Refusal {
	ca, r := catalog.ParseCA(der)
	if r != nil {
		return r
	}
	for d := range each[catalog.Datacenter](w.txn, tableDatacenters, indexID) {
		other, err := x509.ParseCertificate(d.CACertificate)
		same := bytes.Equal(d.CACertificate, der) ||
			err == nil && bytes.Equal(other.RawSubjectPublicKeyInfo, ca.RawSubjectPublicKeyInfo)
		if same {
			return &catalog.Refusal{
				Code: catalog.CodeCertificateTaken, Field: "ca_certificate",
				Message: fmt.Sprintf("datacenter %q has the same CA", d.Name),
				Remedy:  "give every datacenter its own CA: do not copy a data directory to another host",
			}
		}
	}
	return nil
}
