package identity

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/consensus/catalog"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func newTestToken(t testing.TB) Token {
	t.Helper()
	token, err := NewToken(Token{
		FederationID: "0b5bcf6e-6f2d-4c8c-9a56-0a3c6a1f0d11", FederationName: "demo",
		Endpoints: []string{"203.0.113.1:7443", "[2001:db8::1]:7443", "gw.example.org:7443"},
		Pin:       Pin{1, 2, 3}, Datacenter: "west", ExpiresAt: noon.Add(time.Hour),
	})
	require.NoError(t, err)
	return token
}

func encoded(t testing.TB, token Token) string {
	t.Helper()
	text, err := token.Encode()
	require.NoError(t, err)
	return text
}

func TestTokenTextRoundTrip(t *testing.T) {
	token := newTestToken(t)
	text := encoded(t, token)
	got, err := ParseToken(text)
	require.NoError(t, err)
	assert.Equal(t, token, got)
	assert.NotContains(t, text, "\n")

	wrapped := "  " + text[:40] + "\n " + text[40:] + "\r\n"
	got, err = ParseToken(wrapped)
	require.NoError(t, err, "line breaks of a terminal are ignored")
	assert.Equal(t, token, got)
}

func TestTokensDiffer(t *testing.T) {
	a, b := newTestToken(t), newTestToken(t)
	assert.NotEqual(t, a.ID, b.ID)
	assert.NotEqual(t, a.Secret, b.Secret)
	assert.NotEqual(t, a.Secret.Hash(), b.Secret.Hash())
}

func TestInvalidTokenTextIsRefusedWithTheCause(t *testing.T) {
	text := encoded(t, newTestToken(t))
	last := strings.IndexByte(text, '.') + 60
	other := byte('A')
	if text[last] == other {
		other = 'B'
	}
	tests := map[string]struct{ text, code, message string }{
		"empty":                    {"  \n", CodeTokenMalformed, "empty"},
		"other text":               {"hello", CodeTokenMalformed, `does not begin with "mesh1."`},
		"no version":               {strings.Replace(text, "mesh1", "mesh", 1), CodeTokenMalformed, "does not begin"},
		"newer version":            {strings.Replace(text, "mesh1", "mesh2", 1), CodeTokenVersion, "version 2"},
		"head only":                {"mesh1.", CodeTokenMalformed, "truncated"},
		"one character missing":    {text[:len(text)-1], CodeTokenMalformed, "truncated"},
		"two characters missing":   {text[:len(text)-2], CodeTokenMalformed, "truncated"},
		"three characters missing": {text[:len(text)-3], CodeTokenMalformed, "truncated"},
		"second half missing":      {text[:len(text)/2], CodeTokenMalformed, "truncated"},
		"mistyped":                 {text[:last] + string(other) + text[last+1:], CodeTokenMalformed, "checksum"},
		"invalid character":        {text[:last] + "!" + text[last+1:], CodeTokenMalformed, fmt.Sprintf("character %d", last+1)},
		"repeated":                 {text + text[6:], CodeTokenMalformed, "follow the end"},
		"too long":                 {"mesh1." + strings.Repeat("A", maxTokenText), CodeTokenMalformed, "too many"},
		"not ASCII":                {"mesh1.ÄÖÜ", CodeTokenMalformed, "character 7"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := ParseToken(test.text)
			var refusal *catalog.Refusal
			require.ErrorAs(t, err, &refusal)
			assert.Equal(t, test.code, refusal.Code)
			assert.Equal(t, "token", refusal.Field)
			assert.Contains(t, refusal.Message, test.message)
			assert.NotEmpty(t, refusal.Remedy)
		})
	}
}

func TestInvalidTokenIsNeitherCreatedNorEncoded(t *testing.T) {
	tests := map[string]func(*Token){
		"no endpoints":      func(t *Token) { t.Endpoints = nil },
		"endpoint, no port": func(t *Token) { t.Endpoints = []string{"203.0.113.1"} },
		"port 0":            func(t *Token) { t.Endpoints = []string{"203.0.113.1:0"} },
		"port too large":    func(t *Token) { t.Endpoints = []string{"203.0.113.1:70000"} },
		"no host":           func(t *Token) { t.Endpoints = []string{":7443"} },
		"federation id":     func(t *Token) { t.FederationID = "a/b" },
		"federation name":   func(t *Token) { t.FederationName = "De mo" },
		"datacenter":        func(t *Token) { t.Datacenter = "We.st" },
	}
	for name, change := range tests {
		t.Run(name, func(t *testing.T) {
			token := newTestToken(t)
			change(&token)
			_, err := NewToken(token)
			require.Error(t, err)
			_, err = token.Encode()
			require.Error(t, err)
		})
	}
}

func TestExpiredTokenIsRefusedWithBothTimes(t *testing.T) {
	token := newTestToken(t)
	require.NoError(t, token.CheckExpiry(noon.Add(time.Hour-time.Second)))
	err := token.CheckExpiry(noon.Add(time.Hour))
	var refusal *catalog.Refusal
	require.ErrorAs(t, err, &refusal)
	assert.Equal(t, catalog.CodeTokenExpired, refusal.Code)
	assert.Contains(t, refusal.Message, "2026-03-01T13:00:00Z")
}

func TestBoundTokenIsRefusedByAnotherDatacenter(t *testing.T) {
	token := newTestToken(t)
	require.NoError(t, token.CheckDatacenter("west"))
	var refusal *catalog.Refusal
	require.ErrorAs(t, token.CheckDatacenter("north"), &refusal)
	assert.Equal(t, catalog.CodeTokenBound, refusal.Code)
	token.Datacenter = ""
	require.NoError(t, token.CheckDatacenter("north"))
}

func FuzzParseToken(f *testing.F) {
	token := newTestToken(f)
	f.Add(encoded(f, token))
	f.Add("mesh1.AAA")
	f.Add("mesh2.")
	f.Fuzz(func(t *testing.T, text string) {
		token, err := ParseToken(text)
		if err != nil {
			var refusal *catalog.Refusal
			require.ErrorAs(t, err, &refusal)
			return
		}
		again, err := ParseToken(encoded(t, token))
		require.NoError(t, err)
		require.Equal(t, token, again)
	})
}

func FuzzTokenBody(f *testing.F) {
	body, err := tokenBody(encoded(f, newTestToken(f)))
	require.NoError(f, err)
	f.Add(body)
	f.Fuzz(func(t *testing.T, body []byte) {
		token, err := decodeBody(body)
		if err != nil || token.validate() != nil {
			return
		}
		again, err := ParseToken(encoded(t, token))
		require.NoError(t, err)
		require.Equal(t, token, again)
	})
}
