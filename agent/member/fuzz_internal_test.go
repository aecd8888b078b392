package member

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"github.com/meshway/meshway/agent/control/controlpb"
	"github.com/meshway/meshway/agent/identity"
	"github.com/meshway/meshway/consensus"
	"github.com/meshway/meshway/consensus/catalog"
)

// FuzzRequest checks that no request to join and no operation that a member sends to the
// leader causes a panic, and that none replaces the catalog.
func FuzzRequest(f *testing.F) {
	for _, seed := range []proto.Message{
		&controlpb.JoinRequest{},
		&controlpb.JoinRequest{Datacenter: catalog.Datacenter{Name: "west"}.Proto(), Secret: identity.Secret{}.Bytes()},
		&controlpb.JoinRequest{Datacenter: catalog.Datacenter{Name: "west"}.Proto(), Gateway: catalog.Gateway{Name: "gw1"}.Proto()},
		&controlpb.LeaderOperationRequest{Operation: &controlpb.LeaderOperationRequest_RestoreSnapshot{RestoreSnapshot: &controlpb.RestoreSnapshot{}}},
		&controlpb.LeaderOperationRequest{Operation: &controlpb.LeaderOperationRequest_Abstain{}},
		&controlpb.LeaderOperationRequest{Operation: &controlpb.LeaderOperationRequest_TransferLeader{TransferLeader: &controlpb.TransferLeader{To: "west/gw1"}}},
	} {
		data, err := proto.Marshal(seed)
		require.NoError(f, err)
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		join := new(controlpb.JoinRequest)
		if proto.Unmarshal(data, join) == nil {
			if command, err := joinCommand(join); err == nil {
				require.Equal(t, command.Datacenter.Name, command.Gateway.Datacenter)
			}
		}
		operation := new(controlpb.LeaderOperationRequest)
		if proto.Unmarshal(data, operation) == nil {
			if op, err := readOperation(operation); err == nil {
				require.Contains(t, []consensus.OperationKind{consensus.TransferLeadership, consensus.RemoveMember, consensus.Abstain}, op.Kind)
			}
		}
	})
}

// FuzzAnswer checks that nothing that a member answers causes a panic, makes another
// process of this gateway out of nothing, or replaces a pin that is in a token.
func FuzzAnswer(f *testing.F) {
	ca, err := identity.NewCA("west", time.Now())
	require.NoError(f, err)
	certifier := identity.NewCertifier(ca, "gw1", nil)
	certifier.SetFederation(archivedFederation)
	certificate, err := certifier.Certificate()
	require.NoError(f, err)
	own, challenge, earlier := NewProcess(), make([]byte, challengeSize), make([]byte, challengeSize)
	earlier[0] = 1
	replayed, err := NewProcess().identify(certificate, archivedFederation, "west/gw1", earlier)
	require.NoError(f, err)
	answer, err := proto.Marshal(&controlpb.FindCopiesResponse{Copies: []*controlpb.FindCopiesResponse_Copy{{Address: "192.0.2.1:7443", Identity: replayed}, {}}})
	require.NoError(f, err)
	f.Add(answer, []byte(`{"FederationID":"`+archivedFederation+`"}`))
	f.Add([]byte{}, []byte(`{"FederationID":"`+archivedFederation+`","Datacenters":{"west":{"Pin":"","Former":"AAAA","Version":18446744073709551615}}}`))
	view := viewOf(f, ca)
	f.Fuzz(func(t *testing.T, data, handover []byte) {
		response := new(controlpb.FindCopiesResponse)
		if proto.Unmarshal(data, response) == nil {
			for _, c := range response.GetCopies() {
				require.Error(t, own.verify([][]byte{ca.Certificate()}, archivedFederation, "west/gw1", challenge, c.GetIdentity()))
				own.newerThan(c.GetIdentity())
			}
		}
		ledger, err := initialLedger(handover, view, pinInviter(ca.Pin()))
		if err == nil {
			require.Equal(t, ca.Pin(), ledger.Datacenters["west"].Pin)
			require.Equal(t, archivedFederation, ledger.FederationID)
			ledger.Handover()
		}
	})
}
