package replica_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/catalogpb"
	"github.com/meshway/meshway/consensus/catalog/quota"
	"github.com/meshway/meshway/consensus/catalog/replica"
)

func TestCatalogSetsCreatorAndTimeOfToken(t *testing.T) {
	m := federationOfThree(t)
	m.must(westGateway, catalog.NewCreateToken(catalog.Token{
		ID: "t1", SecretHash: [32]byte{1}, Datacenter: "south", ExpiresAt: m.now.Add(time.Hour),
		CreatedBy: eastGateway, UsedBy: "east", UsedAt: m.now, Revoked: true, CreatedAt: m.now.Add(time.Hour),
	}))
	got, ok := m.state.View().Token("t1")
	require.True(t, ok)
	assert.Equal(t, catalog.Token{
		ID: "t1", SecretHash: [32]byte{1}, Datacenter: "south", ExpiresAt: m.now.Add(time.Hour),
		CreatedBy: westGateway, CreatedAt: m.now,
	}, got)
}

func TestCreateTokenIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		code string
		edit func(*catalog.Token)
	}{
		"no id":                    {catalog.CodeTokenInvalid, func(k *catalog.Token) { k.ID = "" }},
		"id with a slash":          {catalog.CodeTokenInvalid, func(k *catalog.Token) { k.ID = "a/b" }},
		"id too long":              {catalog.CodeTokenInvalid, func(k *catalog.Token) { k.ID = strings.Repeat("a", 65) }},
		"id already exists":        {catalog.CodeTokenExists, func(k *catalog.Token) { k.ID = "token-west" }},
		"no secret":                {catalog.CodeMalformed, func(k *catalog.Token) { k.SecretHash = [32]byte{} }},
		"bound to an invalid name": {catalog.CodeNameInvalid, func(k *catalog.Token) { k.Datacenter = "a.b" }},
		"expired at once":          {catalog.CodeTokenLifetime, func(k *catalog.Token) { k.ExpiresAt = start() }},
		"no expiry":                {catalog.CodeTokenLifetime, func(k *catalog.Token) { k.ExpiresAt = time.Time{} }},
		"lifetime too long": {catalog.CodeTokenLifetime, func(k *catalog.Token) {
			k.ExpiresAt = start().Add(catalog.MaxTokenLifetime + 1)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			m := federationOfThree(t)
			token := catalog.Token{ID: "t1", SecretHash: [32]byte{1}, ExpiresAt: start().Add(catalog.MaxTokenLifetime)}
			c.edit(&token)
			m.refused(eastGateway, catalog.NewCreateToken(token), c.code)
		})
	}
}

func TestTokenExpiresByTheTimeOfTheCommand(t *testing.T) {
	for name, c := range map[string]struct {
		after time.Duration
		code  string
	}{
		"just before": {time.Hour - 1, ""},
		"at expiry":   {time.Hour, catalog.CodeTokenExpired},
		"later":       {48 * time.Hour, catalog.CodeTokenExpired},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMembers(t)
			m.init()
			m.token("t1", "")
			m.wait(c.after)
			join := catalog.NewJoin(joinRequest(t, "t1", "west", "10.2.0.0/16"))
			if c.code != "" {
				m.refused(eastGateway, join, c.code)
				return
			}
			m.must(eastGateway, join)
		})
	}
}

func TestAnyMemberCanRevokeUnusedTokens(t *testing.T) {
	m := federationOfThree(t)
	m.token("t1", "")
	m.must(northGateway, catalog.NewRevokeToken("t1"))
	m.must(northGateway, catalog.NewRevokeToken("t1"))
	got, _ := m.state.View().Token("t1")
	assert.True(t, got.Revoked)
	m.refused(northGateway, catalog.NewRevokeToken("token-west"), catalog.CodeTokenUsed)
	m.refused(northGateway, catalog.NewRevokeToken("nothing"), catalog.CodeTokenUnknown)
	m.refused("south/gw0", catalog.NewRevokeToken("t1"), catalog.CodeUnknownAuthor)
}

func TestLeaderLetsOnlyTheDatacenterThatCreatedATokenRevokeIt(t *testing.T) {
	m := upgraded(t)
	m.token("t1", "") // by east
	revoke := func(by catalog.GatewayID) replica.Verdict {
		return m.judge(m.sign(by, catalog.NewRevokeToken("t1")))[0]
	}
	refusal := m.notWritten(revoke(northGateway), catalog.CodeNotOwner)
	assert.Equal(t, "token", refusal.Field)
	assert.Equal(t, `gateway east/gw0 created token t1: datacenter "north" cannot revoke it`, refusal.Message)
	assert.Equal(t, "run meshctl token revoke t1 on a gateway of east; "+
		"if east is lost, run meshctl datacenter remove east, which revokes its tokens", refusal.Remedy)
	change := m.sign(westGateway, catalog.NewPutServices([]catalog.Service{testService("west", "new", "a", "10.2.0.1")}))
	m.notWritten(m.judge(change, m.sign(northGateway, catalog.NewRevokeToken("t1")))[1], catalog.CodeNotOwner)
	m.must(eastGateway, catalog.NewAddGateway(testGateway("east", "gw1")))
	require.NotNil(t, revoke("east/gw1").Command, "a sibling of the gateway that created it")
}

func TestTokenOfADatacenterThatIsNoMemberIsRevokedByAny(t *testing.T) {
	m := upgraded(t)
	m.must(northGateway, catalog.NewCreateToken(catalog.Token{ID: "t1", SecretHash: [32]byte{1}, ExpiresAt: m.now.Add(time.Hour)}))
	m.must(northGateway, catalog.NewLeave("north"))
	v := m.judge(m.sign(westGateway, catalog.NewRevokeToken("t1")))[0]
	require.NotNil(t, v.Command, v.Result.Refusal)
}

func TestUsedTokenIsKeptForAWeekAfterItsExpiry(t *testing.T) {
	m := federationOfThree(t)
	join := func() *catalog.Refusal {
		return m.do(eastGateway, catalog.NewJoin(joinRequest(t, "token-west", "south", "10.4.0.0/16"))).Refusal
	}
	m.wait(7*24*time.Hour + time.Hour) // the lifetime of the token is one hour
	assert.Equal(t, catalog.CodeTokenUsed, join().Code)
	m.wait(1)
	assert.Equal(t, catalog.CodeTokenUsed, join().Code, "the token is deleted after this entry")
	assert.Equal(t, catalog.CodeTokenUnknown, join().Code)
	assert.Empty(t, m.state.View().Tokens())
}

func TestClockOfNonMemberExpiresNothing(t *testing.T) {
	m := federationOfThree(t)
	before := contents(m.state.View())
	m.wait(100 * 24 * time.Hour)
	require.NotNil(t, m.do("south/gw0", catalog.NewRevokeToken("t1")).Refusal)
	assert.Equal(t, before, contents(m.state.View()))
}

func TestNumberOfTokensIsBounded(t *testing.T) {
	m := newMembers(t)
	m.init()
	for i := range 1024 {
		m.token(fmt.Sprint("t", i), "")
	}
	m.refused(eastGateway, catalog.NewCreateToken(catalog.Token{
		ID: "more", SecretHash: [32]byte{1}, ExpiresAt: m.now.Add(time.Hour),
	}), catalog.CodeTokenLimit)
}

func TestLeaderKeepsTokensForDatacentersWithFew(t *testing.T) {
	m := upgraded(t)
	create := func(id string) *catalogpb.Command {
		return catalog.NewCreateToken(catalog.Token{ID: id, SecretHash: [32]byte{1}, ExpiresAt: m.now.Add(time.Hour)})
	}
	for i := range quota.MaxTokens / 4 {
		m.must(westGateway, create(fmt.Sprint("west", i)))
		m.must(northGateway, create(fmt.Sprint("north", i)))
	}
	m.notWritten(m.judge(m.sign(westGateway, create("more")))[0], catalog.CodeQuota)
	for i := len(m.state.View().Tokens()) - quota.MaxTokens/2; i < 16; i++ { // some were used to join
		v := m.judge(m.sign(eastGateway, create(fmt.Sprint("east", i))))[0]
		require.NotNil(t, v.Command, v.Result.Refusal)
		m.must(eastGateway, v.Command)
	}
	refusal := m.notWritten(m.judge(m.sign(eastGateway, create("more")))[0], catalog.CodeTokenLimit)
	assert.Contains(t, refusal.Message, "16 of datacenter east")
}
