package member

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/agent/config"
	"github.com/meshway/meshway/agent/identity"
	"github.com/meshway/meshway/consensus/catalog"
)

func TestContactsOfTheOwnDatacenterComeFirst(t *testing.T) {
	a := &Admission{File: config.Config{Datacenter: "west", Gateway: "gw2"}}
	pin := strings.Repeat("0b", 32)
	contacts, err := a.contacts(identity.DatacenterMembership{Contacts: []identity.Contact{
		{Gateway: "east/gw1", Pin: pin, Controls: []string{"203.0.113.1:7443"}},
		{Gateway: "west/gw1", Pin: pin},
		{Gateway: "west/gw2", Pin: pin},
		{Gateway: "west2/gw1", Pin: pin},
	}})
	require.NoError(t, err)
	var order []catalog.GatewayID
	for _, c := range contacts {
		order = append(order, c.Gateway)
		assert.EqualValues(t, 11, c.Pin[31])
	}
	assert.Equal(t, []catalog.GatewayID{"west/gw1", "east/gw1", "west2/gw1"}, order, "without this gateway itself")
	assert.Equal(t, []string{"203.0.113.1:7443"}, contacts[1].Addresses)
}

func TestContactWithoutAValidPinIsAnError(t *testing.T) {
	a := &Admission{File: config.Config{Datacenter: "west", Gateway: "gw2"}}
	for _, pin := range []string{"", "0b", "no hex", strings.Repeat("0b", 31), strings.Repeat("0b", 33)} {
		_, err := a.contacts(identity.DatacenterMembership{Contacts: []identity.Contact{{Gateway: "west/gw1", Pin: pin}}})
		assert.ErrorContains(t, err, "the pin of west/gw1 is not a SHA-256 in hex", pin)
	}
}
