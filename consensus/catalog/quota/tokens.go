package quota

import (
	"fmt"

	"github.com/meshway/meshway/consensus/catalog"
)

const (
	// MaxTokens is how many tokens the catalog holds. Apply refuses more.
	MaxTokens = 1024

	// freeTokens is how many tokens datacenters may create as they like. The others are
	// kept for datacenters with few tokens.
	freeTokens = MaxTokens / 2

	// maxKeptTokens is how many tokens of the others are kept for each datacenter, in a
	// federation of up to 32.
	maxKeptTokens = 16
)

// CheckTokens returns why a datacenter in more may not create a token, or nil. Once half of
// all tokens exist, only datacenters with fewer than an equal share of the others create
// tokens, so that some that fill the catalog keep no other from inviting one.
func CheckTokens(before, more Tally) *catalog.Refusal {
	for dc, change := range more.of {
		if change[resourceTokens] <= 0 {
			continue
		}
		all, members := before.tokens()
		share := max(1, min(maxKeptTokens, (MaxTokens-freeTokens)/max(1, members)))
		own := before.of[dc][resourceTokens]
		if all < freeTokens || own < share {
			continue
		}
		return &catalog.Refusal{
			Code: catalog.CodeTokenLimit, Field: "tokens",
			Message: fmt.Sprintf("the catalog holds %d tokens, %d of datacenter %s; when it holds %d or more, a datacenter may have %d",
				all, own, dc, freeTokens, share),
			Remedy: "wait until old tokens are deleted, seven days after they expired",
		}
	}
	return nil
}

// tokens returns the number of tokens, and that of datacenters that are members.
func (t *Tally) tokens() (all, members int) {
	for _, u := range t.of {
		all += u[resourceTokens]
		if u[resourceGateways] > 0 {
			members++
		}
	}
	return all, members
}
