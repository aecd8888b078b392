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

// provenToken finds the token of a join. The secret is compared before anything
// else is said about the token.
func (w *writer) provenToken(body *catalogpb.Join) (*Token, *Refusal) {
	t := token(w.txn, body.GetTokenId())
	if t == nil {
		return nil, unknownToken(body.GetTokenId())
	}
	if subtle.ConstantTimeCompare(t.SecretHash[:], body.GetSecretHash()) != 1 {
		return nil, unusableToken(CodeTokenSecret, "its secret is wrong")
	}
	return t, nil
}

// usable says whether a datacenter may still join with t.
func (t *Token) usable(now time.Time) *Refusal {
	switch {
	case t.UsedBy != "":
		return usedToken(t)
	case t.Revoked:
		return unusableToken(CodeTokenRevoked, "it was revoked")
	case !now.Before(t.ExpiresAt):
		return unusableToken(CodeTokenExpired, "it expired at "+t.ExpiresAt.Format(time.RFC3339))
	}
	return nil
}

const newTokenRemedy = "ask a member for a new one: meshctl token create"

func unusableToken(code, message string) *Refusal {
	return &Refusal{Code: code, Field: "token", Message: message, Remedy: newTokenRemedy}
}

func unknownToken(id string) *Refusal {
	return unusableToken(CodeTokenUnknown, fmt.Sprintf("there is no token %q", shorten(id)))
}

func usedToken(t *Token) *Refusal {
	return unusableToken(CodeTokenUsed,
		fmt.Sprintf("datacenter %q joined with it at %s", t.UsedBy, t.UsedAt.Format(time.RFC3339)))
}
