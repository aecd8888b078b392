package catalog

import (
	"crypto/x509"
	"fmt"

	"github.com/meshway/meshway/consensus/catalog/catalogpb"
)

const maxCertificateSize = 16 << 10 // bytes of DER

// ParseCA parses the CA certificate of a datacenter, or returns why the catalog
// refuses it.
func ParseCA(der []byte) (*x509.Certificate, *Refusal) {
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

// CertificateOf returns the CA certificate in cmd and reports whether commands of
// its kind have one.
func CertificateOf(cmd *catalogpb.Command) ([]byte, bool) {
	switch body := cmd.GetBody().(type) {
	case *catalogpb.Command_Init:
		return body.Init.GetDatacenter().GetCaCertificate(), true
	case *catalogpb.Command_Join:
		return body.Join.GetDatacenter().GetCaCertificate(), true
	}
	return nil, false
}
