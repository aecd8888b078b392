package secret_test

import (
	"bytes"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"log/slog"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/agent/identity"
	"github.com/meshway/meshway/tunnel"
	"github.com/meshway/meshway/tunnel/secret"
)

// holder has a secret in a field whose methods fmt does not call, and in one whose
// methods it calls.
type holder[T any] struct {
	Exported T
	private  T
}

// TestSecretsAreNeverPrinted prints everything that contains a secret, alone and as a
// part of something else.
func TestSecretsAreNeverPrinted(t *testing.T) {
	raw := [32]byte{0xab, 0xcd, 0xef, 0x12, 0x34, 0x56, 0x78, 0x9a, 31: 0x55}
	private := tunnel.PrivateKeyOf(raw)
	token := identity.Token{ID: "t1", FederationName: "demo", Secret: identity.SecretOf(raw)}
	ca, err := identity.NewCA("east", time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
	require.NoError(t, err)
	certificate, key, err := ca.Encode()
	require.NoError(t, err)
	state := identity.SharedState{Certificate: certificate, Key: key, NextKey: key}
	for name, test := range map[string]struct {
		value any
		parts [][]byte // of the secret
	}{
		"a secret":                {secret.Of(raw), [][]byte{raw[:]}},
		"a WireGuard key":         {private, [][]byte{raw[:]}},
		"a WireGuard key, by ref": {&private, [][]byte{raw[:]}},
		"a holder of one":         {holder[tunnel.PrivateKey]{private, private}, [][]byte{raw[:]}},
		"a change with one":       {tunnel.Change{Name: "mesh0", PrivateKey: &private}, [][]byte{raw[:]}},
		"the secret of a token":   {token.Secret, [][]byte{raw[:]}},
		"a holder of that":        {holder[identity.Secret]{token.Secret, token.Secret}, [][]byte{raw[:]}},
		"a token":                 {token, [][]byte{raw[:]}},
		"a holder of a token":     {holder[identity.Token]{token, token}, [][]byte{raw[:]}},
		"the key of a CA":         {key, keyParts(t, key)},
		"a holder of that key":    {holder[identity.CAKey]{key, key}, keyParts(t, key)},
		"a CA":                    {ca, keyParts(t, key)},
		"a holder of a CA":        {holder[*identity.CA]{ca, ca}, keyParts(t, key)},
		"the state of siblings":   {state, keyParts(t, key)},
		"a holder of that state":  {holder[identity.SharedState]{state, state}, keyParts(t, key)},
	} {
		t.Run(name, func(t *testing.T) {
			printed := everyText(t, test.value)
			for _, part := range test.parts {
				for _, text := range textsOf(part) {
					assert.NotContains(t, strings.ToLower(printed), strings.ToLower(text))
				}
			}
			assert.Contains(t, printed, "redacted")
		})
	}
}

// everyText prints a value with each verb of fmt, in logs and as JSON.
func everyText(t *testing.T, value any) string {
	t.Helper()
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%# x", "%d", "%o", "%b", "%c", "%U"} {
		fmt.Fprintf(&out, verb+"\n", value)
		fmt.Fprintf(&out, verb+"\n", []any{value})
		fmt.Fprintf(&out, verb+"\n", map[string]any{"key": value})
	}
	fmt.Fprintln(&out, fmt.Errorf("text: %v", value))
	slog.New(slog.NewJSONHandler(&out, nil)).Info("text", "value", value, "list", []any{value})
	slog.New(slog.NewTextHandler(&out, nil)).Info("text", "value", value, "list", []any{value})
	require.NoError(t, json.NewEncoder(&out).Encode(map[string]any{"value": value}))
	return out.String()
}

// keyParts returns the scalar of a key, and a part of its text that has only that.
func keyParts(t *testing.T, key identity.CAKey) [][]byte {
	t.Helper()
	text := key.Reveal()
	block, _ := pem.Decode(text)
	require.NotNil(t, block)
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	require.NoError(t, err)
	scalar, err := parsed.(interface{ Bytes() ([]byte, error) }).Bytes()
	require.NoError(t, err)
	return [][]byte{scalar, []byte(strings.Split(string(text), "\n")[1][48:])}
}

// textsOf returns the forms in which a printed value could contain bytes: as text, in
// hex, in base64 and as numbers. Of those that separate the bytes it has the first few.
func textsOf(part []byte) []string {
	few := part[:8]
	numbers := func(verb, separator string) string {
		var words []string
		for _, b := range few {
			words = append(words, fmt.Sprintf(verb, b))
		}
		return strings.Join(words, separator)
	}
	return []string{
		string(part), hex.EncodeToString(few), base64.RawStdEncoding.EncodeToString(part[:15]), new(big.Int).SetBytes(part).String(),
		numbers("%d", " "), numbers("%d", ", "), numbers("%#x", ", "), numbers("%x", " "), numbers("%o", " "), numbers("%b", " "),
	}
}
