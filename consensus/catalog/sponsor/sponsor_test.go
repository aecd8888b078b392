package sponsor_test

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/sponsor"
)

const day = 24 * time.Hour

func created() time.Time { return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC) }

// invited is one use of a token.
func invited(dc, by string, after time.Duration) *catalog.Token {
	return &catalog.Token{
		CreatedBy: catalog.NewGatewayID(catalog.DatacenterName(by), "gw0"), UsedBy: catalog.DatacenterName(dc), UsedAt: created().Add(after),
	}
}

func at(after time.Duration, tokens ...*catalog.Token) sponsor.Sponsors {
	f := catalog.Federation{CreatedAt: created()}
	datacenters := []*catalog.Datacenter{
		{Name: "west", Ordinal: 2, JoinedAt: created().Add(time.Hour)}, {Name: "east", Ordinal: 1, JoinedAt: created()},
	}
	return sponsor.New(f, slices.Values(datacenters), slices.Values(tokens), created().Add(after))
}

func TestDatacenterCountsAsItsInviterForAWeek(t *testing.T) {
	for _, c := range []struct {
		name   string
		tokens []*catalog.Token
		after  time.Duration
		dc, as string
	}{
		{"one that was not invited", nil, 30 * day, "east", "east"},
		{"an unused token", []*catalog.Token{{CreatedBy: "west/gw0"}}, 30 * day, "", ""},
		{"a new one", []*catalog.Token{invited("ghost", "west", 30*day)}, 30*day + time.Hour, "ghost", "west"},
		{"its inviter", []*catalog.Token{invited("ghost", "west", 30*day)}, 30*day + time.Hour, "west", "west"},
		{"nearly a week later", []*catalog.Token{invited("ghost", "west", 30*day)}, 37*day - 1, "ghost", "west"},
		{"a week later", []*catalog.Token{invited("ghost", "west", 30*day)}, 37 * day, "ghost", "ghost"},
		{"invited by one that is new", []*catalog.Token{invited("ghost", "west", 30*day), invited("second", "ghost", 31*day)}, 32 * day, "second", "west"},
		{"invited by one that is new no longer", []*catalog.Token{invited("ghost", "west", 20*day), invited("second", "ghost", 31*day)}, 32 * day, "second", "ghost"},
		{"of the founder, while it sets up", []*catalog.Token{invited("west", "east", time.Hour)}, 2 * time.Hour, "west", "west"},
		{"of the founder, later", []*catalog.Token{invited("west", "east", 7*day)}, 7*day + time.Hour, "west", "east"},
		{"of another one, meanwhile", []*catalog.Token{invited("west", "east", time.Hour), invited("ghost", "west", 2*time.Hour)}, 3 * time.Hour, "ghost", "west"},
		{
			"one that joined again",
			[]*catalog.Token{invited("ghost", "west", 30*day), invited("ghost", "north", 31*day)},
			32 * day, "ghost", "north",
		},
		{
			"by times that contradict the order",
			[]*catalog.Token{invited("ghost", "west", 31*day), invited("second", "ghost", 30*day)},
			32 * day, "second", "west",
		},
		{"of an inviter and a time that are those of another one", []*catalog.Token{invited("ghost", "west", 30*day), invited("second", "ghost", 30*day)}, 31 * day, "second", "west"},
		{
			"that left, joined again by its guest, and counts as one with it",
			[]*catalog.Token{invited("a", "b", 30*day), invited("b", "a", 30*day+time.Minute)},
			31 * day, "b", "a",
		},
		{"its guest", []*catalog.Token{invited("a", "b", 30*day), invited("b", "a", 30*day+time.Minute)}, 31 * day, "a", "a"},
		{"of the founder, before the federation", []*catalog.Token{invited("west", "east", -time.Minute)}, time.Hour, "west", "west"},
		{"of a founder with a clock that was ahead", []*catalog.Token{invited("west", "east", -30*day)}, -29 * day, "west", "east"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := at(c.after, c.tokens...)
			assert.Equal(t, catalog.DatacenterName(c.as), s.Of(catalog.DatacenterName(c.dc)))
			assert.Equal(t, c.dc != c.as, s.Sponsored(catalog.DatacenterName(c.dc)))
		})
	}
}

func TestOnlyIndependentDatacentersPermitEachOtherAnything(t *testing.T) {
	s := at(32*day, invited("ghost", "west", 30*day), invited("second", "ghost", 31*day), invited("guest", "east", 31*day))
	assert.False(t, s.Independent("west", "ghost"))
	assert.False(t, s.Independent("ghost", "second"))
	assert.True(t, s.Independent("west", "north"))
	assert.True(t, s.Independent("ghost", "guest"))
	for _, pair := range [][2]catalog.DatacenterName{{"west", "ghost"}, {"ghost", "west"}, {"second", "west"}, {"west", "west"}, {"east", "east"}, {"guest", "east"}} {
		assert.False(t, s.MayPermit(pair[0], pair[1]), pair)
	}
	assert.True(t, s.MayPermit("west", "guest"))
	assert.True(t, s.MayPermit("east", "guest"), "the founder")
	assert.True(t, sponsor.Sponsors{}.MayPermit("a", "b"))
	assert.False(t, sponsor.Sponsors{}.MayPermit("a", "a"))
}

func TestJoinThatIsNotInTheCatalogYetCounts(t *testing.T) {
	s := at(32*day, invited("ghost", "west", 30*day))
	assert.Equal(t, catalog.DatacenterName("west"), s.With("second", "ghost", created().Add(32*day)).Of("second"))
	assert.Equal(t, catalog.DatacenterName("second"), s.Of("second"), "the former ones are unchanged")
	early := at(day)
	assert.Equal(t, catalog.DatacenterName("west"), early.With("west", "east", created().Add(day)).Of("west"))
	assert.Equal(t, catalog.DatacenterName("east"), sponsor.Sponsors{}.With("west", "east", created()).Of("west"))
}

// Those that it invited would otherwise count as one, and could agree on nothing.
func TestGuestsOfAFounderThatLeftInTheFirstWeekStayIndependent(t *testing.T) {
	f := catalog.Federation{CreatedAt: created()}
	tokens := []*catalog.Token{invited("west", "east", time.Hour), invited("north", "east", 2*time.Hour), invited("ghost", "west", 3*time.Hour)}
	present := slices.Values([]*catalog.Datacenter{{Name: "west"}, {Name: "north"}, {Name: "ghost"}})
	s := sponsor.New(f, present, slices.Values(tokens), created().Add(day))
	assert.True(t, s.Independent("west", "north"))
	assert.Equal(t, catalog.DatacenterName("west"), s.Of("ghost"))
	for _, when := range []time.Duration{8*day + time.Hour, 10 * day} {
		late := []*catalog.Token{
			invited("west", "east", day), invited("north", "east", 6*day), invited("ghost", "west", 6*day+12*time.Hour),
		}
		s = sponsor.New(f, present, slices.Values(late), created().Add(when))
		assert.True(t, s.Independent("west", "north"), "%s", when)
		assert.Equal(t, catalog.DatacenterName("west"), s.Of("ghost"), "west is not taken for the founder after %s", when)
	}
}

// A founder that lost its disk joins again under its name.
func TestGuestsOfAFounderThatJoinedAgainInTheFirstWeekStayIndependent(t *testing.T) {
	f := catalog.Federation{CreatedAt: created()}
	tokens := []*catalog.Token{invited("west", "east", time.Hour), invited("north", "east", 2*time.Hour), invited("east", "west", 3*day)}
	present := slices.Values([]*catalog.Datacenter{{Name: "west"}, {Name: "north"}, {Name: "east", Ordinal: 4, JoinedAt: created().Add(3 * day)}})
	s := sponsor.New(f, present, slices.Values(tokens), created().Add(4*day))
	assert.True(t, s.Independent("west", "north"))
	assert.Equal(t, catalog.DatacenterName("west"), s.Of("east"))
}

func TestThirdDatacenterOfANewFederationVotesWhicheverInvitedIt(t *testing.T) {
	s := at(day, invited("west", "east", time.Hour), invited("north", "west", 2*time.Hour))
	assert.Equal(t, catalog.DatacenterName("east"), s.VotesAs("north", "east", created().Add(day)))
	assert.Equal(t, catalog.DatacenterName("west"), s.VotesAs("west", "east", created().Add(day)))
	assert.Equal(t, catalog.DatacenterName("west"), s.VotesAs("north", "east", created().Add(sponsor.Time)))
}

func TestFounderIsTheOneWithTheFirstOrdinalSinceTheBeginning(t *testing.T) {
	f := catalog.Federation{CreatedAt: created()}
	for ordinal, joined := range map[uint32]time.Time{2: created(), 1: created().Add(1)} {
		dc := &catalog.Datacenter{Name: "west", Ordinal: ordinal, JoinedAt: joined}
		s := sponsor.New(f, slices.Values([]*catalog.Datacenter{dc}), slices.Values([]*catalog.Token{invited("guest", "west", 20*day)}), created().Add(20*day))
		assert.False(t, s.MayPermit("west", "guest"))
	}
}
