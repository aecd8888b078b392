package catalog

import (
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"time"

	"github.com/meshway/meshway/consensus/catalog/catalogpb"
)

// MaxTokenLifetime is how far ahead a token may expire.
const MaxTokenLifetime = 7 * 24 * time.Hour

const (
	// tokenMemory, in command time, is how long a token is kept after it
	// expired, so that "used" and "expired" can be told from "unknown".
	tokenMemory = 7 * 24 * time.Hour

	maxTokens        = 1024 // kept at a time
	maxTokenIDLength = 64
)

// HashSecret gives what the catalog holds of a token's secret. Secrets are long
// and random, hence no salt and no slow hash.
func HashSecret(secret []byte) [32]byte { return sha256.Sum256(secret) }

func (w *writer) createToken(req request, body *catalogpb.CreateToken) (Result, *Refusal) {
	t, err := TokenFromProto(body.GetToken())
	if err != nil {
		return Result{}, asRefusal(err)
	}
	if r := checkToken(t, req.at); r != nil {
		return Result{}, r
	}
	if token(w.txn, t.ID) != nil {
		return Result{}, &Refusal{
			Code: CodeTokenExists, Field: "id", Message: fmt.Sprintf("a token %s exists", t.ID),
			Remedy: "try again: the id is random",
		}
	}
	count := 0
	for range each[Token](w.txn, tableTokens, indexID) {
		count++
	}
	if count >= maxTokens {
		return Result{}, &Refusal{
			Code: CodeTokenLimit, Message: fmt.Sprintf("there are %d tokens", count),
			Remedy: "wait until old ones are forgotten, seven days after they expired",
		}
	}
	insert(w.txn, tableTokens, &Token{
		ID: t.ID, SecretHash: t.SecretHash, Datacenter: t.Datacenter,
		CreatedBy: req.author, CreatedAt: req.at, ExpiresAt: t.ExpiresAt,
	})
	return Result{}, nil
}

func checkToken(t Token, now time.Time) *Refusal {
	isID := onlyBytes(t.ID, func(c byte) bool { return isAlphanumeric(c) || c == '-' || c == '_' })
	if t.ID == "" || len(t.ID) > maxTokenIDLength || !isID {
		return &Refusal{
			Code: CodeTokenInvalid, Field: "id", Message: fmt.Sprintf("%q is no token id", shorten(t.ID)),
			Remedy: fmt.Sprintf("use 1 to %d letters, digits, '-' and '_'", maxTokenIDLength),
		}
	}
	if t.SecretHash == ([32]byte{}) {
		return malformed("secret_hash", "it is missing")
	}
	if t.Datacenter != "" {
		if r := checkName("datacenter", string(t.Datacenter)); r != nil {
			return r
		}
	}
	if lifetime := t.ExpiresAt.Sub(now); lifetime <= 0 || lifetime > MaxTokenLifetime {
		return &Refusal{
			Code: CodeTokenLifetime, Field: "expires_at", Message: fmt.Sprintf("it would live %s", lifetime),
			Remedy: fmt.Sprintf("choose a lifetime of at most %s", MaxTokenLifetime),
		}
	}
	return nil
}

// revokeToken may be called by any member: to stop a token that got into wrong
// hands must not wait for the datacenter that made it. It gives no power: a
// member could as well admit whom it wants.
func (w *writer) revokeToken(body *catalogpb.RevokeToken) (Result, *Refusal) {
	t := token(w.txn, body.GetId())
	if t == nil {
		return Result{}, unknownToken(body.GetId())
	}
	if t.UsedBy != "" {
		return Result{}, usedToken(t)
	}
	revoked := *t
	revoked.Revoked = true
	insert(w.txn, tableTokens, &revoked)
	return Result{}, nil
}

// usableToken finds the token of a join. The secret is compared before anything
// else is said about the token.
func (w *writer) usableToken(req request, body *catalogpb.Join) (*Token, *Refusal) {
	refuse := func(code, message string) (*Token, *Refusal) {
		return nil, &Refusal{Code: code, Field: "token", Message: message, Remedy: newTokenRemedy}
	}
	t := token(w.txn, body.GetTokenId())
	switch {
	case t == nil:
		return nil, unknownToken(body.GetTokenId())
	case subtle.ConstantTimeCompare(t.SecretHash[:], body.GetSecretHash()) != 1:
		return refuse(CodeTokenSecret, "its secret is wrong")
	case t.UsedBy != "":
		return nil, usedToken(t)
	case t.Revoked:
		return refuse(CodeTokenRevoked, "it was revoked")
	case !req.at.Before(t.ExpiresAt):
		return refuse(CodeTokenExpired, "it expired at "+t.ExpiresAt.Format(time.RFC3339))
	}
	return t, nil
}

const newTokenRemedy = "ask a member for a new one: meshctl token create"

func unknownToken(id string) *Refusal {
	return &Refusal{
		Code: CodeTokenUnknown, Field: "token", Message: fmt.Sprintf("there is no token %q", shorten(id)),
		Remedy: newTokenRemedy,
	}
}

func usedToken(t *Token) *Refusal {
	return &Refusal{
		Code: CodeTokenUsed, Field: "token",
		Message: fmt.Sprintf("datacenter %q joined with it at %s", t.UsedBy, t.UsedAt.Format(time.RFC3339)),
		Remedy:  newTokenRemedy,
	}
}
