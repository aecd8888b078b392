package catalog

import (
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"time"

	"github.com/meshway/meshway/consensus/catalog/catalogpb"
)

// MaxTokenLifetime is the maximum time from the creation of a token to its expiry.
const MaxTokenLifetime = 7 * 24 * time.Hour

const (
	// tokenRetention, in command time, is how long a token is kept after it
	// expired, so that a refusal distinguishes a used or expired token from an
	// unknown one.
	tokenRetention = 7 * 24 * time.Hour

	maxTokens        = 1024 // at a time
	maxTokenIDLength = 64
)

// HashSecret returns the hash of a token's secret that the catalog stores. It needs
// neither salt nor a slow hash, because secrets are long and random.
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
			Code: CodeTokenExists, Field: "id", Message: fmt.Sprintf("token %s already exists", t.ID),
			Remedy: "try again with another random id",
		}
	}
	count := 0
	for range each[Token](w.txn, tableTokens, indexID) {
		count++
	}
	if count >= maxTokens {
		return Result{}, &Refusal{
			Code: CodeTokenLimit, Message: fmt.Sprintf("the catalog holds %d tokens, the maximum", count),
			Remedy: "wait until old tokens are deleted, seven days after they expired",
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
			Code: CodeTokenInvalid, Field: "id", Message: fmt.Sprintf("%q is not a token id", shorten(t.ID)),
			Remedy: fmt.Sprintf("use 1 to %d letters, digits, '-' and '_'", maxTokenIDLength),
		}
	}
	if t.SecretHash == ([32]byte{}) {
		return malformed("secret_hash", "the hash of the secret is missing")
	}
	if t.Datacenter != "" {
		if r := checkName("datacenter", string(t.Datacenter)); r != nil {
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

// revokeToken accepts any member as author, so that a leaked token can be revoked
// without the datacenter that created it. This gives a member no additional power,
// because it may admit any datacenter.
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

// authenticateToken returns the token of a join. It compares the secret first, so
// that the refusal of a wrong secret discloses nothing else about the token.
func (w *writer) authenticateToken(body *catalogpb.Join) (*Token, *Refusal) {
	t := token(w.txn, body.GetTokenId())
	if t == nil {
		return nil, unknownToken(body.GetTokenId())
	}
	if subtle.ConstantTimeCompare(t.SecretHash[:], body.GetSecretHash()) != 1 {
		return nil, unusableToken(CodeTokenSecret, "the secret of the token is wrong")
	}
	return t, nil
}

// checkUsable refuses a token that is used, revoked or expired.
func (t *Token) checkUsable(now time.Time) *Refusal {
	switch {
	case t.UsedBy != "":
		return usedToken(t)
	case t.Revoked:
		return unusableToken(CodeTokenRevoked, "the token was revoked")
	case !now.Before(t.ExpiresAt):
		return unusableToken(CodeTokenExpired, "the token expired at "+t.ExpiresAt.Format(time.RFC3339))
	}
	return nil
}

const newTokenRemedy = "create a new token with meshctl token create on a gateway of a member"

func unusableToken(code, message string) *Refusal {
	return &Refusal{Code: code, Field: "token", Message: message, Remedy: newTokenRemedy}
}

func unknownToken(id string) *Refusal {
	return unusableToken(CodeTokenUnknown, fmt.Sprintf("there is no token %q", shorten(id)))
}

func usedToken(t *Token) *Refusal {
	return unusableToken(CodeTokenUsed,
		fmt.Sprintf("datacenter %q joined with the token at %s", t.UsedBy, t.UsedAt.Format(time.RFC3339)))
}
