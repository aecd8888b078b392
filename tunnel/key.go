package tunnel

import (
	"cmp"
	"crypto/ecdh"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
)

// redacted is the text of every private key.
const redacted = "(redacted)"

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
	var secret [32]byte
	if _, err := rand.Read(secret[:]); err != nil {
		return PrivateKey{}, fmt.Errorf("generate private key: %w", err)
	}
	secret[0] &= 248
	secret[31] = secret[31]&127 | 64
	return PrivateKeyOf(secret), nil
}

// ParsePrivateKey parses the output of PrivateKey.Secret. Its errors do not
// contain the text.
func ParsePrivateKey(s string) (PrivateKey, error) {
	secret, err := decodeKey(s)
	if err != nil {
		return PrivateKey{}, fmt.Errorf("parse private key: %w", err)
	}
	return PrivateKeyOf(secret), nil
}

// PrivateKeyOf returns the key with the given bytes, unchanged. That of zero bytes
// is the zero key.
func PrivateKeyOf(secret [32]byte) PrivateKey {
	if secret == [32]byte{} {
		return PrivateKey{}
	}
	// Any 32 bytes are a valid X25519 scalar, so this cannot fail.
	key, err := ecdh.X25519().NewPrivateKey(secret[:])
	if err != nil {
		return PrivateKey{}
	}
	return PrivateKey{secret: secret, public: PublicKey(key.PublicKey().Bytes())}
}

// Public returns the public key. That of the zero key is zero.
func (k PrivateKey) Public() PublicKey { return k.public }

// Bytes returns the secret bytes. They are meant for a data plane only.
func (k PrivateKey) Bytes() [32]byte { return k.secret }

// Secret returns the key in base64. It is meant for the key file only.
func (k PrivateKey) Secret() string { return base64.StdEncoding.EncodeToString(k.secret[:]) }

// IsZero reports whether no key is set.
func (k PrivateKey) IsZero() bool { return k == PrivateKey{} }

// String returns "(redacted)".
func (PrivateKey) String() string { return redacted }

// GoString returns "(redacted)", for %#v.
func (PrivateKey) GoString() string { return redacted }

// Format prints "(redacted)" for every verb, including %x and %d.
func (PrivateKey) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// LogValue returns "(redacted)", for slog.
func (PrivateKey) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText returns "(redacted)", for JSON, YAML and other encodings.
func (PrivateKey) MarshalText() ([]byte, error) { return []byte(redacted), nil }

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
