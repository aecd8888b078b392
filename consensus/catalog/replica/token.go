package replica

import (
	"crypto/subtle"
	"fmt"
	"time"

	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/catalogpb"
	"github.com/meshway/meshway/consensus/catalog/jointoken"
	"github.com/meshway/meshway/consensus/catalog/quota"
	"github.com/meshway/meshway/consensus/catalog/replica/internal/table"
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

// revokeToken accepts any member as author: Apply did so in all versions of meshd. The
// leader refuses others than the datacenter of the token (checkRevocation).
func (w *writer) revokeToken(body *catalogpb.RevokeToken) (catalog.Result, *catalog.Refusal) {
	t := token(w.txn, body.GetId())
	if t == nil {
		return catalog.Result{}, jointoken.Unknown(body.GetId())
	}
	if r := jointoken.CheckUnused(*t); r != nil {
		return catalog.Result{}, r
	}
	revoked := *t
	revoked.Revoked = true
	insert(w.txn, tableTokens, &revoked)
	return catalog.Result{}, nil
}

// checkRevocation refuses to revoke the token of another datacenter that is a member.
func checkRevocation(txn *table.Txn, cmd *catalogpb.Command) *catalog.Refusal {
	t := token(txn, cmd.GetRevokeToken().GetId())
	if t == nil || datacenter(txn, t.CreatedBy.Datacenter()) == nil {
		return nil
	}
	return jointoken.CheckRevocation(*t, catalog.GatewayID(cmd.GetAuthor()))
}

// authenticateToken returns the token of a join. It compares the secret first, so
// that the refusal of a wrong secret discloses nothing else about the token.
func (w *writer) authenticateToken(body *catalogpb.Join) (*catalog.Token, *catalog.Refusal) {
	t := token(w.txn, body.GetTokenId())
	if t == nil {
		return nil, jointoken.Unknown(body.GetTokenId())
	}
	if subtle.ConstantTimeCompare(t.SecretHash[:], body.GetSecretHash()) != 1 {
		return nil, jointoken.WrongSecret()
	}
	return t, nil
}
