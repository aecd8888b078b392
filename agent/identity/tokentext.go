package identity

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/meshway/meshway/consensus/catalog"
)

// The text of a token is
//
//	mesh1.<base64url of: length of body (2 bytes) · body · checksum (4 bytes)>
//
// where 1 is the version and the body is: pin · secret · expiry (Unix seconds,
// 8 bytes) · id · federation id · federation name · datacenter · endpoints
// (separated by a space), each text preceded by its length (uvarint). The length
// detects a truncated token, the checksum a mistyped one.
const (
	tokenPrefix  = "mesh"
	tokenVersion = "1"
	lengthSize   = 2
	checksumSize = 4
	// maxTokenText bounds the text that is decoded, in bytes.
	maxTokenText = 8192
)

// Encode returns the token as one line of text. It is the only method whose result
// contains the secret.
func (t Token) Encode() (string, error) {
	if err := t.validate(); err != nil {
		return "", err
	}
	var body []byte
	body = append(body, t.Pin[:]...)
	body = append(body, t.Secret.Bytes()...)
	body = binary.BigEndian.AppendUint64(body, uint64(t.ExpiresAt.Unix()))
	for _, s := range []string{t.ID, t.FederationID, t.FederationName, string(t.Datacenter), strings.Join(t.Endpoints, " ")} {
		body = binary.AppendUvarint(body, uint64(len(s)))
		body = append(body, s...)
	}
	if len(body) > maxTokenText/2 {
		return "", fmt.Errorf("encode token: the token has %d bytes, more than %d; advertise fewer endpoints", len(body), maxTokenText/2)
	}
	raw := binary.BigEndian.AppendUint16(nil, uint16(len(body)))
	raw = append(raw, body...)
	raw = append(raw, checksum(body)...)
	return tokenPrefix + tokenVersion + "." + base64.RawURLEncoding.EncodeToString(raw), nil
}

// ParseToken parses the text of a token. It ignores white space, which terminals may
// insert. It does not check the expiry: see CheckExpiry. The error is a
// *catalog.Refusal and does not quote the text.
func ParseToken(text string) (Token, error) {
	body, err := tokenBody(text)
	if err != nil {
		return Token{}, err
	}
	t, err := decodeBody(body)
	if err != nil {
		return Token{}, err
	}
	return t, t.validate()
}

// tokenBody returns the body of a token's text after it has checked version, length
// and checksum.
func tokenBody(text string) ([]byte, error) {
	if len(text) > maxTokenText {
		return nil, malformed("the token has too many characters: %d", len(text))
	}
	text = strings.Join(strings.FieldsFunc(text, unicode.IsSpace), "")
	if text == "" {
		return nil, malformed("the token is empty")
	}
	head, encoded, ok := strings.Cut(text, ".")
	version, isToken := strings.CutPrefix(head, tokenPrefix)
	number, err := strconv.ParseUint(version, 10, 16)
	if !ok || !isToken || err != nil {
		return nil, malformed("the token does not begin with %q", tokenPrefix+tokenVersion+".")
	}
	if version != tokenVersion {
		return nil, refuseToken(CodeTokenVersion, "use the same release of meshway on both gateways",
			"the token is of version %d and this release supports version %s", number, tokenVersion)
	}
	if i := strings.IndexFunc(encoded, notBase64); i >= 0 {
		return nil, malformed("character %d of the token is not allowed", len(head)+1+i+1)
	}
	if len(encoded)%4 == 1 {
		encoded = encoded[:len(encoded)-1] // truncated within a byte; unwrap reports how much is missing
	}
	raw, err := base64.RawURLEncoding.DecodeString(encoded)
	if err != nil {
		return nil, malformed("the token is not base64url")
	}
	return unwrap(raw)
}

// notBase64 reports whether r is outside of base64url (RFC 4648 §5).
func notBase64(r rune) bool {
	return (r < 'A' || r > 'Z') && (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' && r != '_'
}

// unwrap returns the body in the decoded text of a token.
func unwrap(raw []byte) ([]byte, error) {
	if len(raw) < lengthSize {
		return nil, malformed("the token is truncated")
	}
	want := lengthSize + int(binary.BigEndian.Uint16(raw)) + checksumSize
	if len(raw) < want {
		return nil, malformed("the token is truncated: %d of %d bytes", len(raw), want)
	}
	if len(raw) > want {
		return nil, malformed("%d bytes follow the end of the token", len(raw)-want)
	}
	body, sum := raw[lengthSize:want-checksumSize], raw[want-checksumSize:]
	if !bytes.Equal(sum, checksum(body)) { // detects typing errors; does not compare secrets
		return nil, malformed("a character of the token is wrong (the checksum does not match)")
	}
	return body, nil
}

func decodeBody(body []byte) (Token, error) {
	var t Token
	const fixed = len(t.Pin) + secretSize + 8
	if len(body) < fixed {
		return Token{}, malformed("the body of the token is too short")
	}
	body = body[copy(t.Pin[:], body):]
	t.Secret, body = ReadSecret(body[:secretSize]), body[secretSize:]
	t.ExpiresAt = time.Unix(int64(binary.BigEndian.Uint64(body)), 0).UTC()
	body = body[8:]
	var texts [5]string
	for i := range texts {
		n, size := binary.Uvarint(body)
		if size <= 0 || n > uint64(len(body)-size) {
			return Token{}, malformed("the body of the token is too short")
		}
		end := size + int(n)
		texts[i], body = string(body[size:end]), body[end:]
	}
	if len(body) > 0 {
		return Token{}, malformed("the body of the token is too long")
	}
	t.ID, t.FederationID, t.FederationName = texts[0], texts[1], texts[2]
	t.Datacenter = catalog.DatacenterName(texts[3])
	t.Endpoints = strings.Fields(texts[4])
	return t, nil
}

func checksum(body []byte) []byte {
	sum := sha256.Sum256(body)
	return sum[:checksumSize]
}
