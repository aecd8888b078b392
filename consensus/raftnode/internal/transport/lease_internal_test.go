package transport

import (
	"testing"
	"time"

	"github.com/hashicorp/raft"
	"github.com/stretchr/testify/assert"
)

func TestQuorumContactIsThatOfAMajorityOfTheVoters(t *testing.T) {
	const now, term = 100 * time.Second, 7
	voter, nonvoter := raft.Voter, raft.Nonvoter
	at := func(seconds int) Contact {
		return Contact{Term: term, Sent: time.Duration(seconds) * time.Second}
	}
	for _, test := range []struct {
		name     string
		servers  []raft.Server
		contacts map[raft.ServerID]Contact
		want     time.Duration // negative: none
	}{
		{"a member alone", servers(voter), nil, now},
		{"two, one answered", servers(voter, voter), map[raft.ServerID]Contact{"b": at(90)}, 90 * time.Second},
		{"two, none answered", servers(voter, voter), nil, -1},
		{"three, the newer answer counts", servers(voter, voter, voter), map[raft.ServerID]Contact{"b": at(90), "c": at(20)}, 90 * time.Second},
		{"four, two others are needed", servers(voter, voter, voter, voter), map[raft.ServerID]Contact{"b": at(90), "c": at(20)}, 20 * time.Second},
		{"five, the second newest", servers(voter, voter, voter, voter, voter), map[raft.ServerID]Contact{"b": at(90), "c": at(80), "d": at(99)}, 90 * time.Second},
		{"members without a vote do not count", servers(voter, voter, voter, nonvoter, nonvoter), map[raft.ServerID]Contact{"d": at(99), "e": at(99)}, -1},
		{"answers of another term do not count", servers(voter, voter, voter), map[raft.ServerID]Contact{"b": {Term: term - 1, Sent: now}}, -1},
		{"a leader without a vote needs a majority of the others", servers(nonvoter, voter, voter, voter), map[raft.ServerID]Contact{"b": at(90), "c": at(80)}, 80 * time.Second},
	} {
		got := QuorumContact(test.servers, "a", test.contacts, term, now)
		if test.want < 0 {
			assert.Negative(t, got, test.name)
			continue
		}
		assert.Equal(t, test.want, got, test.name)
	}
}

// servers returns members a, b, c … with these votes.
func servers(votes ...raft.ServerSuffrage) []raft.Server {
	var all []raft.Server
	for i, suffrage := range votes {
		all = append(all, raft.Server{ID: raft.ServerID(rune('a' + i)), Suffrage: suffrage})
	}
	return all
}

func TestTheClockOfALeaseNeverGoesBack(t *testing.T) {
	clock := NewClock()
	last := clock()
	for range 100_000 {
		now := clock()
		if now < last {
			t.Fatalf("from %s back to %s", last, now)
		}
		last = now
	}
}
