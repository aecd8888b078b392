package trust

import (
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/meshway/meshway/agent/identity"
	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/catalogpb"
	"github.com/meshway/meshway/consensus/catalog/replica"
)

// memory is a Store that can fail.
type memory struct {
	ledger Ledger
	saved  int
	err    error
}

func (m *memory) Load() (Ledger, bool, error) { return m.ledger, m.saved > 0, m.err }

func (m *memory) Save(l Ledger) error {
	if m.err == nil {
		m.ledger, m.saved = l, m.saved+1
	}
	return m.err
}

// authenticatorOf returns the authenticator of a member's gateway.
func authenticatorOf(t *testing.T, m *member, store Store) *Authenticator {
	t.Helper()
	certifier := identity.NewCertifier(m.ca, m.gateway.Name, nil)
	certifier.SetFederation(federationID)
	g, err := Open(store, certifier)
	require.NoError(t, err)
	return g
}

// viewOf returns a catalog with one member, to which commands were applied.
func viewOf(t *testing.T, m *member, commands ...*catalogpb.Command) *replica.View {
	t.Helper()
	state := replica.New()
	federation := catalogOf(1).Federation
	commands = append([]*catalogpb.Command{catalog.NewInit(federation, m.datacenter, m.gateway)}, commands...)
	for i, command := range commands {
		command.Author, command.At = string(m.gateway.ID()), timestamppb.New(start())
		entry, err := catalog.Marshal(command)
		require.NoError(t, err)
		results, err := state.Apply(uint64(i+1), entry)
		require.NoError(t, err)
		require.Nil(t, results[0].Refusal)
	}
	return state.View()
}

func TestGatewaySignsWhatIsNotSignedAndRenewsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		east := newSigner(t)
		authenticator := authenticatorOf(t, east, &memory{})
		view := viewOf(t, east)
		gateway, datacenter := authenticator.Unsigned(view)
		assert.True(t, gateway && datacenter)

		record, _ := view.Gateway("east/gw")
		dc, _ := view.Datacenter("east")
		commands := []*catalogpb.Command{catalog.NewUpdateGateway(record), catalog.NewUpdateDatacenter(dc)}
		require.NoError(t, authenticator.Sign(view, commands))
		view = viewOf(t, east, commands...)
		gateway, datacenter = authenticator.Unsigned(view)
		assert.False(t, gateway || datacenter)

		time.Sleep(25 * time.Hour)
		gateway, datacenter = authenticator.Unsigned(view)
		assert.True(t, gateway && datacenter, "the certificate of the signer has expired")
	})
}

// A signature that is written again changes the catalog, which is compared again.
func TestGatewayWhoseCAIsNotValidSignsNothingAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		east := newSigner(t)
		now := time.Now()
		certifier := identity.NewCertifier(east.ca, east.gateway.Name, func() time.Time { return now })
		certifier.SetFederation(federationID)
		authenticator, err := Open(&memory{}, certifier)
		require.NoError(t, err)
		view := viewOf(t, east)
		begin, end := east.ca.Validity()
		for _, wrong := range []time.Time{begin.Add(-time.Hour), end.Add(time.Hour)} {
			now = wrong
			gateway, datacenter := authenticator.Unsigned(view)
			assert.False(t, gateway || datacenter, "at %s", now)
		}
		now = end.Add(-time.Hour)
		gateway, datacenter := authenticator.Unsigned(view)
		assert.True(t, gateway && datacenter)
	})
}

// newSigner returns a member whose CA is valid now.
func newSigner(t *testing.T) *member {
	t.Helper()
	east := newMember(t, "east", 1)
	ca, err := identity.NewCA("east", time.Now())
	require.NoError(t, err)
	east.ca, east.datacenter.CACertificate = ca, ca.Certificate()
	return east
}

// siblings is two gateways that sign the records of one datacenter.
type siblings struct {
	*member
	t           *testing.T
	first, last *Authenticator
}

func newSiblings(t *testing.T) *siblings {
	t.Helper()
	east := newSigner(t)
	return &siblings{east, t, authenticatorOf(t, east, &memory{}), authenticatorOf(t, east, &memory{})}
}

// signed returns the commands with which one of them replaces both records.
func (s *siblings) signed(by *Authenticator, v *replica.View) []*catalogpb.Command {
	s.t.Helper()
	record, _ := v.Gateway("east/gw")
	dc, _ := v.Datacenter("east")
	commands := []*catalogpb.Command{catalog.NewUpdateGateway(record), catalog.NewUpdateDatacenter(dc)}
	require.NoError(s.t, by.Sign(v, commands))
	return commands
}

// A version is a time in milliseconds: the clocks of two gateways can agree.
func TestADatacenterThatTwoGatewaysSignedWithOneVersionIsSignedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSiblings(t)
		view := viewOf(t, s.member)
		verify := func(v *replica.View) []plan.Problem {
			last, _ := v.Datacenter("east")
			own, _ := v.Gateway("east/gw")
			c := catalogOf(v.Index())
			c.Datacenters, c.Gateways = []catalog.Datacenter{last}, []catalog.Gateway{own}
			_, problems := s.first.Verify(c, time.Now())
			return problems
		}
		first, second := s.signed(s.first, view), s.signed(s.last, view)
		verify(viewOf(t, s.member, first...))
		view = viewOf(t, s.member, slices.Concat(first, second)...)
		assert.NotEmpty(t, verify(view))
		gateway, datacenter := s.first.Unsigned(view)
		assert.True(t, gateway && datacenter)
		view = viewOf(t, s.member, slices.Concat(first, second, s.signed(s.first, view))...)
		assert.Empty(t, verify(view))
		gateway, datacenter = s.first.Unsigned(view)
		assert.False(t, gateway || datacenter)
	})
}

// Others may have seen what a sibling replaced before this gateway saw it.
func TestADatacenterWhoseNewerSignatureASiblingReplacedIsSignedAgain(t *testing.T) {
	for name, between := range map[string]time.Duration{"with an earlier version": time.Second, "with the same version": 0} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSiblings(t)
				view := viewOf(t, s.member)
				replacement := s.signed(s.last, view)
				time.Sleep(between)
				replaced := s.signed(s.first, view)
				view = viewOf(t, s.member, slices.Concat(replaced, replacement)...)
				_, datacenter := s.first.Unsigned(view)
				assert.True(t, datacenter)
				view = viewOf(t, s.member, slices.Concat(replaced, replacement, s.signed(s.first, view))...)
				for _, gateway := range []*Authenticator{s.first, s.last} {
					_, datacenter = gateway.Unsigned(view)
					assert.False(t, datacenter)
				}
				newest, _ := view.Datacenter("east")
				assert.Greater(t, newest.Signature.Version, replaced[1].GetUpdateDatacenter().GetDatacenter().GetSignature().GetVersion())
			})
		})
	}
}

func TestDatacenterIsNotSignedBeforeAllItsGatewaysAre(t *testing.T) {
	east := newMember(t, "east", 1)
	authenticator := authenticatorOf(t, east, &memory{})
	sibling := east.gateway.Clone()
	sibling.Name, sibling.PublicKey = "gw2", catalog.Key{9}
	_, datacenter := authenticator.Unsigned(viewOf(t, east, catalog.NewAddGateway(sibling)))
	assert.False(t, datacenter)
	sibling.Signature = catalog.Signature{Version: 1, Level: 1, Value: []byte("signature")}
	_, datacenter = authenticator.Unsigned(viewOf(t, east, catalog.NewAddGateway(sibling)))
	assert.True(t, datacenter)
}

func TestLedgerIsSavedWhenItHasChanged(t *testing.T) {
	east, west := newMember(t, "east", 1).sign(7), newMember(t, "west", 2).sign(7)
	store := &memory{err: nil}
	authenticator := authenticatorOf(t, east, store)
	authenticator.Verify(catalogOf(10, east, west), start())
	store.err = errors.New("disk full")
	require.ErrorIs(t, authenticator.Save(), store.err)
	store.err = nil
	require.NoError(t, authenticator.Save())
	require.NoError(t, authenticator.Save())
	assert.Equal(t, 1, store.saved)

	other := newMember(t, "west", 2).sign(8)
	restarted := authenticatorOf(t, east, store)
	_, problems := restarted.Verify(catalogOf(11, east, other), start())
	require.Len(t, problems, 1)
	assert.Equal(t, string(PinBroken), problems[0].Code)
}

func TestMissingSignatureIsAProblemOnlyWhenItLasts(t *testing.T) {
	east, west := newMember(t, "east", 1).sign(7), newMember(t, "west", 2).sign(7)
	authenticator := authenticatorOf(t, east, &memory{})
	authenticator.Verify(catalogOf(10, east, west), start())
	west.gateway.Signature = catalog.Signature{}
	_, problems := authenticator.Verify(catalogOf(11, east, west), start())
	assert.Empty(t, problems)
	_, problems = authenticator.Verify(catalogOf(11, east, west), start().Add(11*time.Second))
	require.Len(t, problems, 1)
	assert.Equal(t, string(SignatureMissing), problems[0].Code)
}

func TestCAOfADatacenterIsTheOneThatWasSeenFirst(t *testing.T) {
	east, west := newMember(t, "east", 1).sign(7), newMember(t, "west", 2).sign(7)
	other := newMember(t, "west", 2)
	authenticator := authenticatorOf(t, east, &memory{})
	seen, forged := west.ca.Certificate(), other.ca.Certificate()
	assert.Equal(t, [][]byte{seen}, authenticator.CAs("west", seen), "first sight")
	authenticator.Verify(catalogOf(10, east, west), start())
	assert.Equal(t, [][]byte{seen}, authenticator.CAs("west", forged))
	authenticator.Verify(catalogOf(11, east), start())
	assert.Empty(t, authenticator.CAs("west", forged), "after west has left")
	assert.Equal(t, [][]byte{seen}, authenticator.CAs("west", seen))
}

func TestAcceptedCAReplacesTheOneThatWasSeen(t *testing.T) {
	east, west := newMember(t, "east", 1).sign(7), newMember(t, "west", 2)
	authenticator := authenticatorOf(t, east, &memory{})
	authenticator.Verify(catalogOf(10, east, west), start())
	view := viewOf(t, east)
	other := newMember(t, "west", 2)
	require.Error(t, authenticator.CheckAdmission(other.datacenter))
	_, _, err := authenticator.Accept(view, "east", other.ca.Pin())
	require.Error(t, err, "its own datacenter")
	former, known, err := authenticator.Accept(view, "west", other.ca.Pin())
	require.NoError(t, err)
	assert.True(t, known)
	assert.Equal(t, west.ca.Pin(), former)
	require.NoError(t, authenticator.CheckAdmission(other.datacenter))
}
