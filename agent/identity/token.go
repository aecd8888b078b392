package identity

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/tunnel/secret"
)

// Codes of refusals of tokens, in addition to those of package catalog.
const (
	CodeTokenMalformed = "token-malformed" // the text is not a join token
	CodeTokenVersion   = "token-version"   // the token is of another version
)

// secretSize is the length of the secret of a token in bytes.
const secretSize = 32

// Secret is the secret of a token. It prints as "(redacted)".
type Secret struct{ secret.Value[[secretSize]byte] }

// SecretOf returns the secret with the given bytes.
func SecretOf(raw [secretSize]byte) Secret { return Secret{secret.Of(raw)} }

// ReadSecret returns the secret in raw, or that of zeros, which is no token's, if its
// length is another one.
func ReadSecret(raw []byte) Secret {
	var s [secretSize]byte
	if len(raw) == len(s) {
		copy(s[:], raw)
	}
	return SecretOf(s)
}

// Bytes returns the secret for a message or a token.
func (s Secret) Bytes() []byte {
	raw := s.Reveal()
	return raw[:]
}

// Hash returns the hash that the catalog stores instead of the secret.
func (s Secret) Hash() [32]byte { return catalog.HashSecret(s.Bytes()) }

// Token allows one datacenter to join a federation once.
type Token struct {
	FederationID   string
	FederationName string
	Endpoints      []string // control ports of the inviting datacenter, host:port, in order of preference
	Pin            Pin      // of the inviting datacenter's CA
	ID             string
	Secret         Secret
	Datacenter     catalog.DatacenterName // that may use it; any if empty
	ExpiresAt      time.Time              // to the second
}

// NewToken returns t with a random ID and secret. The caller sets the other fields.
func NewToken(t Token) (Token, error) {
	var id [8]byte
	if _, err := rand.Read(id[:]); err != nil {
		return Token{}, fmt.Errorf("generate token id: %w", err)
	}
	var raw [secretSize]byte
	if _, err := rand.Read(raw[:]); err != nil {
		return Token{}, fmt.Errorf("generate token secret: %w", err)
	}
	t.Secret = SecretOf(raw)
	t.ID = hex.EncodeToString(id[:])
	t.ExpiresAt = t.ExpiresAt.UTC().Truncate(time.Second)
	return t, t.validate()
}

// String describes the token without its secret.
func (t Token) String() string {
	return fmt.Sprintf("token %s for federation %s (%s), secret %s", t.ID, t.FederationName, t.FederationID, t.Secret)
}

// CheckExpiry returns a *catalog.Refusal if the token has expired at now.
func (t Token) CheckExpiry(now time.Time) error {
	if now.Before(t.ExpiresAt) {
		return nil
	}
	return refuseToken(catalog.CodeTokenExpired, "set the clock of this host if it is wrong (timedatectl status shows it); otherwise create a new token with \"meshctl token create\"",
		"the token expired at %s and this host's clock is at %s", t.ExpiresAt.UTC().Format(time.RFC3339), now.UTC().Format(time.RFC3339))
}

// CheckDatacenter returns a *catalog.Refusal if the token is for a datacenter other
// than dc.
func (t Token) CheckDatacenter(dc catalog.DatacenterName) error {
	if t.Datacenter == "" || t.Datacenter == dc {
		return nil
	}
	return refuseToken(catalog.CodeTokenBound, "create a token for this datacenter with \"meshctl token create\"",
		"the token is for datacenter %q and this gateway is in %q", t.Datacenter, dc)
}

func (t Token) validate() error {
	switch {
	case !isLabel(t.FederationID):
		return malformed("the federation id %q is not a DNS label", t.FederationID)
	case !isLabel(t.FederationName):
		return malformed("the federation name %q is not a DNS label", t.FederationName)
	case t.ID == "" || len(t.ID) > 64:
		return malformed("the id %q is empty or too long", t.ID)
	case t.Datacenter != "" && !isLabel(string(t.Datacenter)):
		return malformed("the datacenter %q is not a DNS label", t.Datacenter)
	case len(t.Endpoints) == 0:
		return refuseToken(CodeTokenMalformed, "set control.advertise on the gateway that created the token and create a new token",
			"the token contains no endpoints")
	}
	for _, endpoint := range t.Endpoints {
		if err := checkEndpoint(endpoint); err != nil {
			return malformed("the endpoint %q is not valid: %v", endpoint, err)
		}
	}
	return nil
}

// malformed refuses a text that is not a token.
func malformed(format string, args ...any) error {
	return refuseToken(CodeTokenMalformed, "copy the whole line that \"meshctl token create\" printed", format, args...)
}

func refuseToken(code, remedy, format string, args ...any) error {
	return &catalog.Refusal{Code: code, Field: "token", Message: fmt.Sprintf(format, args...), Remedy: remedy}
}

func checkEndpoint(endpoint string) error {
	host, port, err := net.SplitHostPort(endpoint)
	if err != nil {
		return err
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return fmt.Errorf("port %q is not in the range 1 to 65535", port)
	}
	if host == "" || strings.ContainsFunc(host, func(r rune) bool { return r <= ' ' || r == '/' || r > '~' }) {
		return fmt.Errorf("host %q is neither an address nor a name", host)
	}
	return nil
}
