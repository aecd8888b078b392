package tunnel

import (
	"cmp"
	"crypto/ecdh"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/meshway/meshway/tunnel/secret"
)

// ParsePublicKey parses a key as wg(8) prints it: base64 of 32 bytes.
func ParsePublicKey(s string) (PublicKey, error) {
	raw, err := decodeKey(s)
	if err != nil {
		return PublicKey{}, fmt.Errorf("parse public key %q: %w", s, err)
	}
	return PublicKey(raw), nil
}

// String returns the key in base64, as wg(8) prints it.
func (k PublicKey) String() string { return base64.StdEncoding.EncodeToString(k[:]) }

// IsZero reports whether no key is set.
func (k PublicKey) IsZero() bool { return k == PublicKey{} }

// Compare orders keys by their bytes.
func (k PublicKey) Compare(o PublicKey) int { return slices.Compare(k[:], o[:]) }

// MarshalText returns the key in base64.
func (k PublicKey) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText parses the output of MarshalText.
func (k *PublicKey) UnmarshalText(text []byte) (err error) {
	*k, err = ParsePublicKey(string(text))
	return err
}

// NewPrivateKey returns a key from the system's random source, clamped
// (RFC 7748 section 5), so that every tool prints the same text for it.
func NewPrivateKey() (PrivateKey, error) {
	var scalar [32]byte
	if _, err := rand.Read(scalar[:]); err != nil {
		return PrivateKey{}, fmt.Errorf("generate private key: %w", err)
	}
	scalar[0] &= 248
	scalar[31] = scalar[31]&127 | 64
	return PrivateKeyOf(scalar), nil
}

// ParsePrivateKey parses the output of PrivateKey.Secret. Its errors do not
// contain the text.
func ParsePrivateKey(s string) (PrivateKey, error) {
	scalar, err := decodeKey(s)
	if err != nil {
		return PrivateKey{}, fmt.Errorf("parse private key: %w", err)
	}
	return PrivateKeyOf(scalar), nil
}

// PrivateKeyOf returns the key with the given bytes, unchanged. That of zero bytes
// is the zero key.
func PrivateKeyOf(scalar [32]byte) PrivateKey {
	if scalar == [32]byte{} {
		return PrivateKey{}
	}
	// Any 32 bytes are a valid X25519 scalar, so this cannot fail.
	key, err := ecdh.X25519().NewPrivateKey(scalar[:])
	if err != nil {
		return PrivateKey{}
	}
	return PrivateKey{Value: secret.Of(scalar), public: PublicKey(key.PublicKey().Bytes())}
}

// Public returns the public key. That of the zero key is zero.
func (k PrivateKey) Public() PublicKey { return k.public }

// Bytes returns the secret bytes. They are meant for a data plane only.
func (k PrivateKey) Bytes() [32]byte { return k.Reveal() }

// Secret returns the key in base64. It is meant for the key file only.
func (k PrivateKey) Secret() string {
	scalar := k.Reveal()
	return base64.StdEncoding.EncodeToString(scalar[:])
}

// IsZero reports whether no key is set.
func (k PrivateKey) IsZero() bool { return k.Reveal() == [32]byte{} }

func decodeKey(s string) ([32]byte, error) {
	raw, err := base64.StdEncoding.Strict().DecodeString(strings.TrimSpace(s))
	if err != nil {
		return [32]byte{}, errors.New("not base64")
	}
	if len(raw) != 32 {
		return [32]byte{}, fmt.Errorf("%d bytes instead of 32 bytes", len(raw))
	}
	return [32]byte(raw), nil
}

func comparePeers(a, b Peer) int {
	return cmp.Or(a.PublicKey.Compare(b.PublicKey), a.Endpoint.Compare(b.Endpoint))
}
