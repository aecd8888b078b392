package quota

import (
	"fmt"

	"github.com/meshway/meshway/consensus/catalog"
)

const (
	// MaxTokens is how many tokens the catalog holds. Apply refuses more.
	MaxTokens = 1024

	// MaxClients is how many clients the catalog holds. Apply removes the one that has been
	// idle longest for one more.
	MaxClients = 4096
)

// shared is a number of records that all datacenters have together. They take the free ones
// as they like; the others are kept for datacenters that have few.
type shared struct {
	resource   resource
	free, kept int // for all
	mostKept   int // of kept, for each datacenter
	// share returns how many of kept a datacenter may have of which left are left.
	share   func(kept, left, members int) int
	refusal catalog.Refusal
	message string // with the number of all, of one, its datacenter, free, and its share
}

func tokens() shared {
	return shared{
		share:    func(kept, _, members int) int { return max(1, kept/members) }, // Apply refuses more than all
		resource: resourceTokens, free: MaxTokens / 2, kept: MaxTokens / 2, mostKept: 16,
		refusal: catalog.Refusal{
			Code: catalog.CodeTokenLimit, Field: "tokens",
			Remedy: "wait until old tokens are deleted, seven days after they expired",
		},
		message: "the catalog holds %d tokens, %d of datacenter %s; when it holds %d or more, a datacenter may have %d",
	}
}

func clients() shared {
	return shared{
		// Those of a datacenter that left are there for a day.
		share:    func(_, left, members int) int { return left / members },
		resource: resourceClients, free: MaxClients * 3 / 4, kept: MaxClients / 4, mostKept: 128,
		refusal: catalog.Refusal{
			Code: catalog.CodeQuota, Field: "clients",
			Remedy: "find out with meshctl events which datacenter replaces its gateways so often, or is compromised; the records of a gateway are deleted a day after its last write",
		},
		message: "the catalog has the records of %d gateways that wrote in the last day, %d of datacenter %s; when it has %d or more, a datacenter may have %d",
	}
}

// CheckShared returns why a datacenter in more may not create a token, or a client, or nil.
// Once the free ones exist, only datacenters with fewer than an equal share of the others
// create some: those that fill the catalog, as one can with datacenters that it invites, keep
// no other from inviting one, and make no result of another forgotten, so that an old write
// which is retried is not applied again.
func CheckShared(before, more Tally) *catalog.Refusal {
	for _, s := range []shared{tokens(), clients()} {
		if r := s.check(before, more); r != nil {
			return r
		}
	}
	return nil
}

func (s shared) check(before, more Tally) *catalog.Refusal {
	for dc, change := range more.of {
		if change[s.resource] <= 0 {
			continue
		}
		all, members := before.total(s.resource)
		own := before.of[dc][s.resource]
		share := min(s.mostKept, s.share(s.kept, s.free+s.kept-all+own, max(1, members)))
		if all < s.free || own < share {
			continue
		}
		r := s.refusal
		r.Message = fmt.Sprintf(s.message, all, own, dc, s.free, share)
		return &r
	}
	return nil
}

// total returns how much of a resource all datacenters have, and the number of those that are
// members.
func (t *Tally) total(r resource) (all, members int) {
	for _, u := range t.of {
		all += u[r]
		if u[resourceGateways] > 0 {
			members++
		}
	}
	return all, members
}
