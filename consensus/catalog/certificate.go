package catalog

import (
	"bytes"
	"crypto/x509"
	"fmt"

	"github.com/meshway/meshway/consensus/catalog/catalogpb"
)

const maxCertificateSize = 16 << 10 // bytes of DER

// certificateFree wants a CA certificate whose key no other datacenter has: who
// shares a CA key could speak as the other's gateways. Dates are not looked
// at: trust is being in the catalog.
//
// Members built with different versions of Go may disagree about a certificate
// at the edge of the standard. Check parses it too, in front of the log, so that
// only what the leader's build accepts gets here; certificates that meshd makes
// itself are far from any edge.
func (w *writer) certificateFree(der []byte) *Refusal {
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
				Remedy:  "give every datacenter a CA of its own: a data directory must not be copied",
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
		return refuse(CodeTooLarge, fmt.Sprintf("it has more than %d bytes", maxCertificateSize))
	}
	ca, err := x509.ParseCertificate(der)
	switch {
	case err != nil: // its text is of one version of Go, and results are state
		return refuse(CodeCertificate, "it is no X.509 certificate")
	case !ca.BasicConstraintsValid || !ca.IsCA:
		return refuse(CodeCertificate, "it is not the certificate of a CA")
	}
	return ca, nil
}

// certificateOf gives the CA certificate that cmd brings, if it is of a kind
// that brings one.
func certificateOf(cmd *catalogpb.Command) ([]byte, bool) {
	switch body := cmd.GetBody().(type) {
	case *catalogpb.Command_Init:
		return body.Init.GetDatacenter().GetCaCertificate(), true
	case *catalogpb.Command_Join:
		return body.Join.GetDatacenter().GetCaCertificate(), true
	}
	return nil, false
}
