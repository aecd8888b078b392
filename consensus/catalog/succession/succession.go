// Package succession decides whether one CA of a datacenter may follow another. It is
// pure.
package succession

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"slices"

	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/catalogpb"
)

// Most is how many successions a datacenter keeps: a member that was away while its CA
// was replaced more often must accept the last one by meshctl trust accept.
const Most = 4

// maxCertificate bounds the certificate of a succession, in bytes.
const maxCertificate = 4 << 10

// Subject returns what a certificate of succession is for, which binds it to one
// datacenter of one federation.
func Subject(federation string, dc catalog.DatacenterName) *url.URL {
	return &url.URL{Scheme: "spiffe", Host: federation, Path: "/dc/" + string(dc)}
}

// Verify returns why certificate does not prove that the CA predecessor of a datacenter
// handed over to the CA with the public key of successor. Its dates do not matter: the
// holder of the predecessor's key chooses them.
func Verify(predecessor, certificate, successor *x509.Certificate, subject *url.URL) error {
	switch {
	case !bytes.Equal(certificate.RawSubjectPublicKeyInfo, successor.RawSubjectPublicKeyInfo):
		return errors.New("the certificate of the succession is for another key than that of the new CA")
	case bytes.Equal(predecessor.RawSubjectPublicKeyInfo, successor.RawSubjectPublicKeyInfo):
		return errors.New("the new CA has the key of the former one")
	case !certificate.IsCA || len(certificate.URIs) != 1 || certificate.URIs[0].String() != subject.String():
		return fmt.Errorf("the certificate of the succession is not for %s", subject)
	}
	if err := predecessor.CheckSignature(certificate.SignatureAlgorithm, certificate.RawTBSCertificate, certificate.Signature); err != nil {
		return fmt.Errorf("the former CA did not sign the succession: %w", err)
	}
	return nil
}

// Pending returns the succession whose predecessor is still trusted, false if there is
// none.
func Pending(dc catalog.Datacenter) (catalog.Succession, bool) {
	if n := len(dc.Successions); n > 0 && !dc.Successions[n-1].Retired {
		return dc.Successions[n-1], true
	}
	return catalog.Succession{}, false
}

// With returns dc with a CA that follows the present one.
func With(dc catalog.Datacenter, ca, certificate []byte) catalog.Datacenter {
	all := append(slices.Clone(dc.Successions), catalog.Succession{Predecessor: dc.CACertificate, Certificate: certificate})
	dc.Successions, dc.CACertificate = all[max(0, len(all)-Most):], ca
	return dc
}

// Retire returns dc without trust in the predecessor of its CA.
func Retire(dc catalog.Datacenter) catalog.Datacenter {
	dc.Successions = slices.Clone(dc.Successions)
	if n := len(dc.Successions); n > 0 {
		dc.Successions[n-1].Retired = true
	}
	return dc
}

// Check returns why the catalog refuses that want replaces the CA of have, and reports
// whether it does. A command below LevelSuccession changes neither CA nor successions,
// which Check sets. It verifies no signature, so that all builds decide the same.
func Check(level uint32, have catalog.Datacenter, want *catalog.Datacenter) (replaced bool, r *catalog.Refusal) {
	replaced = !bytes.Equal(have.CACertificate, want.CACertificate)
	switch {
	case level >= catalog.LevelSuccession && !replaced:
		return false, checkRetired(have, *want)
	case level >= catalog.LevelSuccession:
		return true, checkReplaced(have, *want)
	case len(want.CACertificate) > 0 && replaced:
		return false, &catalog.Refusal{
			Code: catalog.CodeCertificateFixed, Field: "ca_certificate", Message: "the CA of a member cannot change with its prefixes",
			Remedy: "run meshctl ca rotate to replace the CA",
		}
	}
	want.CACertificate, want.Successions = have.CACertificate, have.Successions
	return false, nil
}

// checkRetired requires that want is what Retire returns, or unchanged.
func checkRetired(have, want catalog.Datacenter) *catalog.Refusal {
	if equal(want.Successions, have.Successions) || equal(want.Successions, Retire(have).Successions) {
		return nil
	}
	return refuse("successions", "the successions differ from those of the datacenter", "run meshctl ca rotate again")
}

// checkReplaced requires that want is what With returns.
func checkReplaced(have, want catalog.Datacenter) *catalog.Refusal {
	if _, pending := Pending(have); pending {
		return refuse("ca_certificate", fmt.Sprintf("the former CA of datacenter %s is still trusted", have.Name),
			"wait until all gateways of the datacenter use the new CA; meshctl ca rotate shows which do not")
	}
	if slices.ContainsFunc(have.Successions, func(s catalog.Succession) bool { return bytes.Equal(s.Predecessor, want.CACertificate) }) {
		return refuse("ca_certificate", "the CA was replaced before", "run meshctl ca rotate, which creates a new one")
	}
	n := len(want.Successions)
	if n > 0 && len(want.Successions[n-1].Certificate) > maxCertificate {
		return refuse("successions", fmt.Sprintf("the certificate of the succession has more than %d bytes", maxCertificate), "run meshctl ca rotate again")
	}
	if n == 0 || !equal(want.Successions, With(have, want.CACertificate, want.Successions[n-1].Certificate).Successions) {
		return refuse("successions", fmt.Sprintf("the CA does not follow that of datacenter %s", have.Name), "run meshctl ca rotate again")
	}
	return nil
}

// CheckCommand returns why the leader refuses a command that replaces a CA, or nil: the
// former CA must have signed it. The log may have others: an agent verifies what it uses.
func CheckCommand(f *catalog.Federation, cmd *catalogpb.Command) *catalog.Refusal {
	dc, err := catalog.DatacenterFromProto(cmd.GetUpdateDatacenter().GetDatacenter())
	if f == nil || cmd.GetVersion() < catalog.LevelSuccession || err != nil || len(dc.Successions) == 0 {
		return nil
	}
	last := dc.Successions[len(dc.Successions)-1]
	var parsed [3]*x509.Certificate
	for i, der := range [...][]byte{last.Predecessor, last.Certificate, dc.CACertificate} {
		certificate, r := catalog.ParseCA(der)
		if r != nil {
			return r
		}
		parsed[i] = certificate
	}
	if err := Verify(parsed[0], parsed[1], parsed[2], Subject(f.ID, dc.Name)); err != nil {
		return refuse("successions", err.Error(), "run meshctl ca rotate again, on a gateway of the datacenter")
	}
	return nil
}

func refuse(field, message, remedy string) *catalog.Refusal {
	return &catalog.Refusal{Code: catalog.CodeCASuccession, Field: field, Message: message, Remedy: remedy}
}

func equal(a, b []catalog.Succession) bool {
	return slices.EqualFunc(a, b, func(a, b catalog.Succession) bool {
		return a.Retired == b.Retired && bytes.Equal(a.Predecessor, b.Predecessor) && bytes.Equal(a.Certificate, b.Certificate)
	})
}

// Same reports whether two records of a datacenter have the same CA and successions.
func Same(a, b catalog.Datacenter) bool {
	return bytes.Equal(a.CACertificate, b.CACertificate) && equal(a.Successions, b.Successions)
}
