// Package jointoken decides which join tokens can be used, and by which gateways
// revoked. It is pure.
package jointoken

import (
	"fmt"
	"time"

	"github.com/meshway/meshway/consensus/catalog"
)

// CheckRevocation refuses to revoke the token of another datacenter: a hostile member
// would keep all others from inviting. The removal of a datacenter revokes its tokens, so
// that a leaked one can be revoked also if its datacenter is lost.
func CheckRevocation(t catalog.Token, author catalog.GatewayID) *catalog.Refusal {
	by, of := author.Datacenter(), t.CreatedBy.Datacenter()
	if by == of {
		return nil
	}
	return &catalog.Refusal{
		Code: catalog.CodeNotOwner, Field: "token",
		Message: fmt.Sprintf("gateway %s created token %s: datacenter %q cannot revoke it", t.CreatedBy, t.ID, catalog.Shorten(string(by))),
		Remedy: fmt.Sprintf("run meshctl token revoke %s on a gateway of %s; if %[2]s is lost, run meshctl datacenter remove %[2]s, which revokes its tokens",
			t.ID, of),
	}
}

// CheckUsable refuses a token that is used, revoked or expired.
func CheckUsable(t catalog.Token, now time.Time) *catalog.Refusal {
	switch {
	case t.UsedBy != "":
		return CheckUnused(t)
	case t.Revoked:
		return unusable(catalog.CodeTokenRevoked, "the token was revoked")
	case !now.Before(t.ExpiresAt):
		return unusable(catalog.CodeTokenExpired, "the token expired at "+t.ExpiresAt.Format(time.RFC3339))
	}
	return nil
}

// CheckUnused refuses a token with which a datacenter has joined.
func CheckUnused(t catalog.Token) *catalog.Refusal {
	if t.UsedBy == "" {
		return nil
	}
	return unusable(catalog.CodeTokenUsed, fmt.Sprintf("datacenter %q joined with the token at %s", t.UsedBy, t.UsedAt.Format(time.RFC3339)))
}

// Unknown refuses a token that the catalog does not have.
func Unknown(id string) *catalog.Refusal {
	return unusable(catalog.CodeTokenUnknown, fmt.Sprintf("there is no token %q", catalog.Shorten(id)))
}

// WrongSecret refuses a join with another secret than that of the token.
func WrongSecret() *catalog.Refusal {
	return unusable(catalog.CodeTokenSecret, "the secret of the token is wrong")
}

func unusable(code, message string) *catalog.Refusal {
	return &catalog.Refusal{
		Code: code, Field: "token", Message: message,
		Remedy: "create a new token with meshctl token create on a gateway of a member",
	}
}
