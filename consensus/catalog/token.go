package catalog

import (
	"crypto/sha256"
	"fmt"
	"time"
)

// MaxTokenLifetime is the maximum time from the creation of a token to its expiry.
const MaxTokenLifetime = 7 * 24 * time.Hour

const maxTokenIDLength = 64

// HashSecret returns the hash of a token's secret that the catalog stores. It needs
// neither salt nor a slow hash, because secrets are long and random.
func HashSecret(secret []byte) [32]byte { return sha256.Sum256(secret) }

// Equal reports whether t and o are the same.
func (t Token) Equal(o Token) bool { return t == o }

// Check returns why the catalog refuses a token that is created now, or nil.
func (t Token) Check(now time.Time) *Refusal {
	isID := onlyBytes(t.ID, func(c byte) bool { return isAlphanumeric(c) || c == '-' || c == '_' })
	if t.ID == "" || len(t.ID) > maxTokenIDLength || !isID {
		return &Refusal{
			Code: CodeTokenInvalid, Field: "id", Message: fmt.Sprintf("%q is not a token id", Shorten(t.ID)),
			Remedy: fmt.Sprintf("use 1 to %d letters, digits, '-' and '_'", maxTokenIDLength),
		}
	}
	if t.SecretHash == ([32]byte{}) {
		return Malformed("secret_hash", "the hash of the secret is missing")
	}
	if t.Datacenter != "" {
		if r := CheckName("datacenter", string(t.Datacenter)); r != nil {
			return r
		}
	}
	if lifetime := t.ExpiresAt.Sub(now); lifetime <= 0 || lifetime > MaxTokenLifetime {
		return &Refusal{
			Code: CodeTokenLifetime, Field: "expires_at", Message: fmt.Sprintf("the lifetime of the token is %s", lifetime),
			Remedy: fmt.Sprintf("choose a lifetime of at most %s", MaxTokenLifetime),
		}
	}
	return nil
}
