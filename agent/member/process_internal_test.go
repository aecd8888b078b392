package member

import (
	"bytes"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/meshway/meshway/agent/control/controlpb"
	"github.com/meshway/meshway/agent/identity"
)

func TestOnlyAnotherProcessOfTheGatewayItselfIsACopy(t *testing.T) {
	const federation = "0b5bcf6e-6f2d-4c8c-9a56-0a3c6a1f0d11"
	newCA := func() *identity.CA {
		ca, err := identity.NewCA("west", time.Now())
		require.NoError(t, err)
		return ca
	}
	west, forged := newCA(), newCA()
	own, other := NewProcess(), NewProcess()
	challenge, former := bytes.Repeat([]byte{1}, challengeSize), bytes.Repeat([]byte{2}, challengeSize)
	sign := func(p Process, ca *identity.CA, gateway, federation string, challenge []byte) *controlpb.IdentifyResponse {
		certificate, err := ca.Issue(gateway, federation, time.Now().AddDate(1, 0, 0)) // of a wrong clock
		require.NoError(t, err)
		answer, err := p.identify(certificate, federation, "west/gw1", challenge)
		require.NoError(t, err)
		return answer
	}
	changed := sign(other, west, "gw1", federation, challenge)
	changed.Age = durationpb.New(time.Hour)
	renamed := sign(own, west, "gw1", federation, challenge)
	renamed.Process = []byte(other.id)
	for name, c := range map[string]struct {
		answer *controlpb.IdentifyResponse
		copied bool
	}{
		"another process":                  {sign(other, west, "gw1", federation, challenge), true},
		"this process":                     {sign(own, west, "gw1", federation, challenge), false},
		"this process, renamed by another": {renamed, false},
		"an answer to a former challenge":  {sign(other, west, "gw1", federation, former), false},
		"an age that another has changed":  {changed, false},
		"signed by a sibling for itself":   {sign(other, west, "gw2", federation, challenge), false},
		"signed with a CA of another":      {sign(other, forged, "gw1", federation, challenge), false},
		"signed in another federation":     {sign(other, west, "gw1", "another", challenge), false},
		"no answer":                        {nil, false},
		"an answer without a certificate":  {&controlpb.IdentifyResponse{Process: []byte(other.id)}, false},
		"an answer without a process":      {&controlpb.IdentifyResponse{}, false},
	} {
		t.Run(name, func(t *testing.T) {
			err := own.verify([][]byte{newCA().Certificate(), west.Certificate()}, federation, "west/gw1", challenge, c.answer)
			assert.Equal(t, c.copied, err == nil, "%v", err)
		})
	}
	_, err := own.identify(nil, federation, "west/gw1", challenge[1:])
	assert.EqualError(t, err, "challenge: 31 bytes; send 32")
}

func TestOfTwoProcessesOnlyTheNewerStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		older := NewProcess()
		time.Sleep(time.Second)
		newer := NewProcess()
		time.Sleep(time.Minute)
		fromOlder := &controlpb.IdentifyResponse{Age: durationpb.New(older.age())}
		fromNewer := &controlpb.IdentifyResponse{Age: durationpb.New(newer.age())}
		time.Sleep(500 * time.Millisecond) // on the way
		assert.True(t, newer.newerThan(fromOlder))
		assert.False(t, older.newerThan(fromNewer))
		time.Sleep(time.Second) // less is known about when the sender began
		assert.False(t, newer.newerThan(fromOlder))
		assert.False(t, older.newerThan(fromNewer))
	})
}
