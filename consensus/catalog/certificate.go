package catalog

import (
	"bytes"
	"crypto/x509"
	"fmt"

	"github.com/meshway/meshway/consensus/catalog/catalogpb"
)

const maxCertificateSize = 16 << 10 // bytes of DER

// checkCertificate refuses a CA certificate whose key another datacenter has: two
// datacenters that share a CA key could impersonate each other's gateways. It
// ignores the certificate's validity period, because a datacenter is trusted as
// long as it is in the catalog.
//
// Members built with different versions of Go may disagree about a certificate
// at the edge of the standard. Check therefore parses the certificate before it
// is in the log, so that the leader's build accepts every certificate that is
// applied. Certificates that meshd creates are far from any edge.
func (w *writer) checkCertificate(der []byte) *Refusal {
	ca, r := parseCA(der)
	if r != nil {
		return r
	}
	for d := range each[Datacenter](w.txn, tableDatacenters, indexID) {
		other, err := x509.ParseCertificate(d.CACertificate)
		same := bytes.Equal(d.CACertificate, der) ||
			err == nil && bytes.Equal(other.RawSubjectPublicKeyInfo, ca.RawSubjectPublicKeyInfo)
		if same {
			return &Refusal{
				Code: CodeCertificateTaken, Field: "ca_certificate",
				Message: fmt.Sprintf("datacenter %q has the same CA", d.Name),
				Remedy:  "give every datacenter its own CA: do not copy a data directory to another host",
			}
		}
	}
	return nil
}

func parseCA(der []byte) (*x509.Certificate, *Refusal) {
	refuse := func(code, message string) (*x509.Certificate, *Refusal) {
		return nil, &Refusal{
			Code: code, Field: "ca_certificate", Message: message,
			Remedy: "send the datacenter's own CA certificate in DER",
		}
	}
	if len(der) > maxCertificateSize {
		return refuse(CodeTooLarge, fmt.Sprintf("the certificate has more than %d bytes", maxCertificateSize))
	}
	ca, err := x509.ParseCertificate(der)
	switch {
	case err != nil: // the text of err depends on the version of Go and must not get into the state
		return refuse(CodeCertificate, "the value is not an X.509 certificate")
	case !ca.BasicConstraintsValid || !ca.IsCA:
		return refuse(CodeCertificate, "the certificate is not a CA certificate")
	}
	return ca, nil
}

// certificateOf returns the CA certificate in cmd and reports whether commands of
// its kind have one.
func certificateOf(cmd *catalogpb.Command) ([]byte, bool) {
	switch body := cmd.GetBody().(type) {
	case *catalogpb.Command_Init:
		return body.Init.GetDatacenter().GetCaCertificate(), true
	case *catalogpb.Command_Join:
		return body.Join.GetDatacenter().GetCaCertificate(), true
	}
	return nil, false
}
