package catalog

import (
	"bytes"
	"fmt"

	"github.com/meshway/meshway/consensus/catalog/catalogpb"
)

// maxSignatureSize bounds certificate and value of a signature, in bytes. Those
// that meshd creates have less than 1 KiB.
const maxSignatureSize = 4 << 10

// IsZero reports whether there is no signature.
func (s Signature) IsZero() bool { return s.Equal(Signature{}) }

// Equal reports whether both are the same signature.
func (s Signature) Equal(o Signature) bool {
	return s.Version == o.Version && s.Level == o.Level &&
		bytes.Equal(s.Certificate, o.Certificate) && bytes.Equal(s.Value, o.Value)
}

// Clone returns a deep copy of s.
func (s Signature) Clone() Signature {
	s.Certificate, s.Value = bytes.Clone(s.Certificate), bytes.Clone(s.Value)
	return s
}

// Proto returns the wire form, nil if there is no signature.
func (s Signature) Proto() *catalogpb.Signature {
	if s.IsZero() {
		return nil
	}
	return &catalogpb.Signature{
		Version: s.Version, Level: s.Level, Certificate: bytes.Clone(s.Certificate), Value: bytes.Clone(s.Value),
	}
}

func signatureFromProto(p *catalogpb.Signature) Signature {
	return Signature{
		Version: p.GetVersion(), Level: p.GetLevel(),
		Certificate: bytes.Clone(p.GetCertificate()), Value: bytes.Clone(p.GetValue()),
	}
}

// Check returns why the catalog refuses s, or nil. It bounds the size only. Whether s
// is valid decides each agent, which remembers more than the catalog contains.
func (s Signature) Check() *Refusal {
	size := len(s.Certificate) + len(s.Value)
	if size <= maxSignatureSize {
		return nil
	}
	return tooLarge("signature", fmt.Sprintf("the signature has %d bytes, the maximum is %d", size, maxSignatureSize),
		"use a certificate that meshd created")
}
