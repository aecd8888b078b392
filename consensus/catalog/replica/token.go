package replica

import (
	"crypto/subtle"
	"fmt"
	"time"

	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/catalogpb"
	"github.com/meshway/meshway/consensus/catalog/quota"
)

// tokenRetention, in command time, is how long a token is kept after it
// expired, so that a refusal distinguishes a used or expired token from an
// unknown one.
const tokenRetention = 7 * 24 * time.Hour

func (w *writer) createToken(req request, body *catalogpb.CreateToken) (catalog.Result, *catalog.Refusal) {
	t, err := catalog.TokenFromProto(body.GetToken())
	if err != nil {
		return catalog.Result{}, catalog.AsRefusal(err)
	}
	if r := t.Check(req.at); r != nil {
		return catalog.Result{}, r
	}
	if token(w.txn, t.ID) != nil {
		return catalog.Result{}, &catalog.Refusal{
			Code: catalog.CodeTokenExists, Field: "id", Message: fmt.Sprintf("token %s already exists", t.ID),
			Remedy: "try again with another random id",
		}
	}
	count := 0
	for range each[catalog.Token](w.txn, tableTokens, indexID) {
		count++
	}
	if count >= quota.MaxTokens {
		return catalog.Result{}, &catalog.Refusal{
			Code: catalog.CodeTokenLimit, Message: fmt.Sprintf("the catalog holds %d tokens, the maximum", count),
			Remedy: "wait until old tokens are deleted, seven days after they expired",
		}
	}
	insert(w.txn, tableTokens, &catalog.Token{
		ID: t.ID, SecretHash: t.SecretHash, Datacenter: t.Datacenter,
		CreatedBy: req.author, CreatedAt: req.at, ExpiresAt: t.ExpiresAt,
	})
	return catalog.Result{}, nil
}

// revokeToken accepts any member as author, so that a leaked token can be revoked
// without the datacenter that created it. This gives a member no additional power,
// because it may admit any datacenter.
func (w *writer) revokeToken(body *catalogpb.RevokeToken) (catalog.Result, *catalog.Refusal) {
	t := token(w.txn, body.GetId())
	if t == nil {
		return catalog.Result{}, unknownToken(body.GetId())
	}
	if t.UsedBy != "" {
		return catalog.Result{}, usedToken(t)
	}
	revoked := *t
	revoked.Revoked = true
	insert(w.txn, tableTokens, &revoked)
	return catalog.Result{}, nil
}

// authenticateToken returns the token of a join. It compares the secret first, so
// that the refusal of a wrong secret discloses nothing else about the token.
func (w *writer) authenticateToken(body *catalogpb.Join) (*catalog.Token, *catalog.Refusal) {
	t := token(w.txn, body.GetTokenId())
	if t == nil {
		return nil, unknownToken(body.GetTokenId())
	}
	if subtle.ConstantTimeCompare(t.SecretHash[:], body.GetSecretHash()) != 1 {
		return nil, unusableToken(catalog.CodeTokenSecret, "the secret of the token is wrong")
	}
	return t, nil
}

// checkUsable refuses a token that is used, revoked or expired.
func checkUsable(t *catalog.Token, now time.Time) *catalog.Refusal {
	switch {
	case t.UsedBy != "":
		return usedToken(t)
	case t.Revoked:
		return unusableToken(catalog.CodeTokenRevoked, "the token was revoked")
	case !now.Before(t.ExpiresAt):
		return unusableToken(catalog.CodeTokenExpired, "the token expired at "+t.ExpiresAt.Format(time.RFC3339))
	}
	return nil
}

const newTokenRemedy = "create a new token with meshctl token create on a gateway of a member"

func unusableToken(code, message string) *catalog.Refusal {
	return &catalog.Refusal{Code: code, Field: "token", Message: message, Remedy: newTokenRemedy}
}

func unknownToken(id string) *catalog.Refusal {
	return unusableToken(catalog.CodeTokenUnknown, fmt.Sprintf("there is no token %q", catalog.Shorten(id)))
}

func usedToken(t *catalog.Token) *catalog.Refusal {
	return unusableToken(catalog.CodeTokenUsed,
		fmt.Sprintf("datacenter %q joined with the token at %s", t.UsedBy, t.UsedAt.Format(time.RFC3339)))
}
