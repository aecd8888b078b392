package identity

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/meshway/meshway/consensus/catalog"
)

// Codes of refusals of tokens, beside those of package catalog.
const (
	CodeTokenMalformed = "token-malformed" // the text is no join token
	CodeTokenVersion   = "token-version"   // it is one of another release
)

// redacted stands for a secret wherever one could be printed.
const redacted = "(redacted)"

// Secret is what makes a token worth something. It prints as "(redacted)".
type Secret [32]byte

// String hides the secret.
func (Secret) String() string { return redacted }

// Format hides the secret from every verb, %x and %#v included.
func (Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// MarshalText hides the secret from encoders.
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// LogValue hides the secret.
func (Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// Hash returns what the catalog keeps in the secret's place.
func (s Secret) Hash() [32]byte { return catalog.HashSecret(s[:]) }

// Token lets one datacenter join a federation, once.
type Token struct {
	FederationID   string
	FederationName string
	Endpoints      []string // control ports of the inviting datacenter, host:port, in order of preference
	Pin            Pin      // of the inviting datacenter's CA
	ID             string
	Secret         Secret
	Datacenter     catalog.DatacenterName // the only one that may use it; empty: any
	ExpiresAt      time.Time              // to the second
}

// NewToken makes a token with a random id and secret out of one that says where
// to and until when.
func NewToken(t Token) (Token, error) {
	var id [8]byte
	if _, err := rand.Read(id[:]); err != nil {
		return Token{}, fmt.Errorf("generate token id: %w", err)
	}
	if _, err := rand.Read(t.Secret[:]); err != nil {
		return Token{}, fmt.Errorf("generate token secret: %w", err)
	}
	t.ID = hex.EncodeToString(id[:])
	t.ExpiresAt = t.ExpiresAt.UTC().Truncate(time.Second)
	return t, t.validate()
}

// String names the token without its secret.
func (t Token) String() string {
	return fmt.Sprintf("token %s for federation %s (%s), secret %s", t.ID, t.FederationName, t.FederationID, redacted)
}

// GoString is String.
func (t Token) GoString() string { return t.String() }

// LogValue is String.
func (t Token) LogValue() slog.Value { return slog.StringValue(t.String()) }

// CheckExpiry refuses a token whose time is over by this host's clock.
func (t Token) CheckExpiry(now time.Time) error {
	if now.Before(t.ExpiresAt) {
		return nil
	}
	return refuseToken(catalog.CodeTokenExpired, "make a new one with \"meshctl token create\"",
		"it expired at %s and this host's clock says %s", t.ExpiresAt.UTC().Format(time.RFC3339), now.UTC().Format(time.RFC3339))
}

// CheckDatacenter refuses a token that is bound to another datacenter.
func (t Token) CheckDatacenter(dc catalog.DatacenterName) error {
	if t.Datacenter == "" || t.Datacenter == dc {
		return nil
	}
	return refuseToken(catalog.CodeTokenBound, "make one for this datacenter with \"meshctl token create\"",
		"it is bound to datacenter %q and this one is %q", t.Datacenter, dc)
}

func (t Token) validate() error {
	switch {
	case !isLabel(t.FederationID):
		return malformed("its federation id is %q", t.FederationID)
	case !isLabel(t.FederationName):
		return malformed("its federation name %q is no DNS label", t.FederationName)
	case t.ID == "" || len(t.ID) > 64:
		return malformed("its id is %q", t.ID)
	case t.Datacenter != "" && !isLabel(string(t.Datacenter)):
		return malformed("its datacenter %q is no DNS label", t.Datacenter)
	case len(t.Endpoints) == 0:
		return refuseToken(CodeTokenMalformed, "set control.advertise on the inviting gateway and make a new token",
			"it names no endpoints to dial")
	}
	for _, endpoint := range t.Endpoints {
		if err := checkEndpoint(endpoint); err != nil {
			return malformed("its endpoint %q: %v", endpoint, err)
		}
	}
	return nil
}

// malformed refuses a text that is no token.
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
		return fmt.Errorf("port %q is not in 1…65535", port)
	}
	if host == "" || strings.ContainsFunc(host, func(r rune) bool { return r <= ' ' || r == '/' || r > '~' }) {
		return fmt.Errorf("host %q is neither an address nor a name", host)
	}
	return nil
}
