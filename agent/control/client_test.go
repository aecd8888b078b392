package control_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"connectrpc.com/connect"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"github.com/meshway/meshway/agent/control"
	"github.com/meshway/meshway/agent/control/controlpb"
	"github.com/meshway/meshway/agent/control/controlpb/controlpbconnect"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/catalogpb"
)

func TestForwardedWriteCarriesTheAuthorOfItsCertificate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFederation(t)
		east, west := f.member("east", eastIP), f.member("west", westIP)
		results, err := west.port.Client().Apply(t.Context(), "east/gw1", []*catalogpb.Command{
			{Author: "east/gw1"}, {Author: ""}, {Author: "west/gw1"},
		})
		require.NoError(t, err)
		assert.Len(t, results, 3)
		assert.EqualValues(t, 3, results[2].Index)
		assert.Equal(t, []string{"west/gw1", "west/gw1", "west/gw1"}, east.service.authors)
	})
}

func TestConcurrentWritesShareMessagesAndARejectedOneFailsOnlyItsCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFederation(t)
		east, west := f.member("east", eastIP), f.member("west", westIP)
		_, err := west.port.Client().Apply(t.Context(), "east/gw1", []*catalogpb.Command{{}}) // connects
		require.NoError(t, err)
		const callers = 100
		write := func(number int, client string) {
			commands := make([]*catalogpb.Command, 1+number%3)
			for i := range commands {
				commands[i] = &catalogpb.Command{Client: client}
			}
			results, err := west.port.Client().Apply(t.Context(), "east/gw1", commands)
			if client == rejectedClient {
				_, refused := errors.AsType[*catalog.Refusal](err)
				assert.True(t, refused)
				return
			}
			assert.NoError(t, err)
			assert.Len(t, results, len(commands))
		}
		for number := range callers {
			go write(number, "accepted")
		}
		synctest.Wait()
		assert.Less(t, east.service.messages, callers/4)
		for number := range callers {
			client := "accepted"
			if number == callers/2 {
				client = rejectedClient
			}
			go write(number, client)
		}
		synctest.Wait()
	})
}

func TestMembersCanCallEveryProcedure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFederation(t)
		east, west := f.member("east", eastIP), f.member("west", westIP)
		client := east.port.Client() // no host has the first address of west
		index, err := client.ReadIndex(t.Context(), "west/gw1", true)
		require.NoError(t, err)
		assert.EqualValues(t, 42, index)
		assert.True(t, west.service.lease)
		operation := &controlpb.LeaderOperationRequest{Operation: &controlpb.LeaderOperationRequest_TransferLeader{
			TransferLeader: &controlpb.TransferLeader{To: "east/gw1"},
		}}
		require.NoError(t, client.LeaderOperation(t.Context(), "west/gw1", operation))
		assert.Equal(t, []catalog.GatewayID{"east/gw1"}, west.service.from)
		require.Error(t, client.LeaderOperation(t.Context(), "west/gw1", &controlpb.LeaderOperationRequest{}))
		_, err = client.Apply(t.Context(), "west/gw1", nil)
		require.Error(t, err)
		electorate, err := client.Electorate(t.Context(), "west/gw1")
		require.NoError(t, err)
		assert.EqualValues(t, 7, electorate.GetTerm())
		require.Len(t, electorate.GetVoters(), 1)
		assert.Equal(t, "west/gw1", electorate.GetVoters()[0].GetGateway())
	})
}

// A message of two bytes takes about a hundred in memory.
func TestARequestOfManySmallMessagesIsRefusedBeforeItIsDecoded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFederation(t)
		east := f.member("east", eastIP)
		f.member("west", westIP)
		commands := make([]*catalogpb.Command, control.MaxApply)
		empty := new(catalogpb.Command)
		for i := range commands {
			commands[i] = empty
		}
		var before, after runtime.MemStats
		size := proto.Size(&controlpb.ApplyRequest{Commands: commands})
		require.Equal(t, 2*control.MaxApply, size)
		runtime.ReadMemStats(&before)
		_, err := east.port.Client().Apply(t.Context(), "west/gw1", commands)
		runtime.ReadMemStats(&after)
		require.Error(t, err)
		assert.Equal(t, connect.CodeResourceExhausted, connect.CodeOf(err))
		assert.Less(t, int(after.TotalAlloc-before.TotalAlloc), 16<<20) //nolint:gosec // below 2^63
	})
}

func TestErrorsKeepTheirIdentityOverTheWire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFederation(t)
		east, west := f.member("east", eastIP), f.member("west", westIP)
		call := func() error {
			_, err := west.port.Client().ReadIndex(t.Context(), "east/gw1", false)
			return err
		}
		refusal := &catalog.Refusal{Code: "name-taken", Field: "datacenter", Message: "it is taken", Remedy: "choose another"}
		east.service.set(refusal)
		var got *catalog.Refusal
		require.ErrorAs(t, call(), &got)
		assert.Equal(t, refusal, got)

		east.service.set(errors.Join(errors.New("apply"), errNotLeader))
		require.ErrorIs(t, call(), errNotLeader)

		east.service.set(errors.New("something else"))
		err := call()
		require.ErrorContains(t, err, "something else")
		require.NotErrorIs(t, err, errNotLeader)
	})
}

func TestCallToAnUnreachableGatewayReturnsUnreachableError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFederation(t)
		west := f.member("west", westIP)
		f.gateway("east", eastIP) // does not run
		for _, id := range []catalog.GatewayID{"east/gw1", "nowhere/gw1"} {
			_, err := west.port.Client().ReadIndex(t.Context(), id, false)
			var unreachable *control.UnreachableError
			require.ErrorAs(t, err, &unreachable)
			assert.Equal(t, id, unreachable.Gateway)
		}
		_, err := west.port.Client().ReadIndex(t.Context(), "no id", false)
		require.ErrorContains(t, err, "DNS labels")
	})
}

func TestCallsRecoverAfterAPartition(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFederation(t)
		f.member("east", eastIP)
		west := f.member("west", westIP)
		call := func() error {
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
			defer cancel()
			_, err := west.port.Client().ReadIndex(ctx, "east/gw1", false)
			return err
		}
		require.NoError(t, call())
		f.fabric.Isolate("east")
		start := time.Now()
		require.Error(t, call())
		assert.LessOrEqual(t, time.Since(start), 4*time.Second, "the deadline applies")
		time.Sleep(time.Hour)
		f.fabric.Rejoin("east")
		require.NoError(t, call())
	})
}

func TestOneConnectionServesManyCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFederation(t)
		f.member("east", eastIP)
		west := f.member("west", westIP)
		_, err := west.port.Client().ReadIndex(t.Context(), "east/gw1", false)
		require.NoError(t, err)
		start := time.Now()
		f.fabric.Host("east", "192.0.2.1") // east is no longer at the address of its connection
		for range 20 {
			_, err := west.port.Client().ReadIndex(t.Context(), "east/gw1", false)
			require.NoError(t, err)
		}
		assert.Zero(t, time.Since(start))
	})
}

// rawClient returns a client for RPC to east from the host of g, with any certificate.
func rawClient(t testing.TB, g *gateway, certificate *tls.Certificate) *http.Client {
	t.Helper()
	protocols := new(http.Protocols)
	protocols.SetHTTP2(true)
	transport := &http.Transport{Protocols: protocols, DialTLSContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		raw, err := g.host.Dial(ctx, eastIP+":7443")
		if err != nil {
			return nil, err
		}
		conn := tls.Client(raw, clientConfig(certificate, "h2"))
		return conn, conn.HandshakeContext(ctx)
	}}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

func TestNonMembersCanCallOnlyJoin(t *testing.T) {
	procedures := []string{
		controlpbconnect.FederationApplyProcedure, controlpbconnect.FederationReadIndexProcedure,
		controlpbconnect.FederationLeaderOperationProcedure, controlpbconnect.FederationElectorateProcedure,
		controlpbconnect.FederationIdentifyProcedure, controlpbconnect.FederationFindCopiesProcedure, controlpbconnect.OperatorStatusProcedure,
		controlpbconnect.OperatorCreateTokenProcedure, "/", "/metrics", "/debug/pprof/", "/meshway.control.v1.Federation/",
		controlpbconnect.FederationJoinProcedure + "/", "/x/.." + controlpbconnect.FederationJoinProcedure,
	}
	for name, certificate := range nonMembers() {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFederation(t)
				east, west := f.member("east", eastIP), f.member("west", westIP)
				client := rawClient(t, west, certificate(t, west))
				for _, procedure := range procedures {
					status := post(t, client, procedure)
					assert.Equal(t, http.StatusForbidden, status, procedure)
				}
				assert.Zero(t, east.service.calls())
				member := rawClient(t, west, issue(t, west.ca, federationID, time.Now()))
				assert.Equal(t, http.StatusOK, post(t, member, controlpbconnect.FederationReadIndexProcedure))
			})
		})
	}
}

// nonMembers returns the certificates that gateways of others than members may have, for
// a federation with the member west.
func nonMembers() map[string]func(t *testing.T, west *gateway) *tls.Certificate {
	return map[string]func(t *testing.T, west *gateway) *tls.Certificate{
		"a CA that is not in the catalog": func(t *testing.T, _ *gateway) *tls.Certificate {
			return issue(t, newCA(t, "north"), federationID, time.Now())
		},
		"another CA with a member's name": func(t *testing.T, _ *gateway) *tls.Certificate {
			return issue(t, newCA(t, "west"), federationID, time.Now())
		},
		"an expired certificate": func(t *testing.T, west *gateway) *tls.Certificate {
			return issue(t, west.ca, federationID, time.Now().Add(-25*time.Hour))
		},
		"a gateway that is not in the catalog": func(t *testing.T, west *gateway) *tls.Certificate {
			certificate, err := west.ca.Issue("ghost", federationID, time.Now())
			require.NoError(t, err)
			return certificate
		},
		"a certificate for another federation": func(t *testing.T, west *gateway) *tls.Certificate {
			return issue(t, west.ca, "another", time.Now())
		},
	}
}

func post(t testing.TB, client *http.Client, procedure string) int {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://gw1.east"+procedure, bytes.NewReader(nil))
	require.NoError(t, err)
	request.Header.Set("Content-Type", "application/proto")
	response, err := client.Do(request)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	return response.StatusCode
}

func TestAdmittedDatacenterIsAMemberOnItsOpenConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFederation(t)
		f.member("east", eastIP)
		west := f.gateway("west", westIP)
		client := rawClient(t, west, issue(t, west.ca, federationID, time.Now()))
		assert.Equal(t, http.StatusForbidden, post(t, client, controlpbconnect.FederationReadIndexProcedure))
		f.admit("west", west.ca.Certificate())
		assert.Equal(t, http.StatusOK, post(t, client, controlpbconnect.FederationReadIndexProcedure))
	})
}

func TestTooLargeRequestIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFederation(t)
		east, west := f.member("east", eastIP), f.gateway("west", westIP)
		client := controlpbconnect.NewFederationClient(
			rawClient(t, west, issue(t, west.ca, federationID, time.Now())), "https://gw1.east")
		_, err := client.Join(t.Context(), connect.NewRequest(&controlpb.JoinRequest{Secret: make([]byte, 300<<10)}))
		assert.Equal(t, connect.CodeResourceExhausted, connect.CodeOf(err))
		assert.Zero(t, east.service.calls())
	})
}

func TestCallsUseTheUnderlayWhenTheTunnelIsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFederation(t)
		east, west := f.member("east", eastIP), f.member("west", westIP)
		var down atomic.Bool
		f.fabric.SetOverlay(func(string, string) bool { return !down.Load() })
		east.host.SetOverlay(netip.MustParseAddr("fd00::1"))
		west.host.SetOverlay(netip.MustParseAddr("fd00::2"))
		east.port.SetOverlay(netip.MustParseAddr("fd00::1"))
		f.addressBook["east/gw1"] = []string{"[fd00::1]:7443", east.address}
		call := func() error {
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
			defer cancel()
			_, err := west.port.Client().ReadIndex(ctx, "east/gw1", false)
			return err
		}
		synctest.Wait()
		require.NoError(t, call())

		down.Store(true)
		f.fabric.Changed()
		require.Error(t, call(), "the call that meets the failure")
		time.Sleep(10 * time.Second) // the ping times out
		require.NoError(t, call(), "it uses the underlay")
	})
}

func TestMembershipIsCheckedAtEachCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFederation(t)
		f.member("east", eastIP)
		west := f.member("west", westIP)
		client := rawClient(t, west, issue(t, west.ca, federationID, time.Now()))
		assert.Equal(t, http.StatusOK, post(t, client, controlpbconnect.FederationReadIndexProcedure))
		f.silent = true // so that the connection stays open
		f.remove("west")
		assert.Equal(t, http.StatusForbidden, post(t, client, controlpbconnect.FederationReadIndexProcedure))
	})
}

// Its certificate stays valid for a day, and any holder of the CA key can issue
// another one.
func TestGatewayThatWasRemovedCanOnlyEnrol(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFederation(t)
		f.member("east", eastIP)
		west := f.member("west", westIP)
		client := rawClient(t, west, issue(t, west.ca, federationID, time.Now()))
		assert.Equal(t, http.StatusOK, post(t, client, controlpbconnect.FederationReadIndexProcedure))
		f.silent = true // so that the connection stays open
		f.removeGateway(west.id)
		for _, procedure := range []string{
			controlpbconnect.FederationApplyProcedure, controlpbconnect.FederationReadIndexProcedure,
			controlpbconnect.FederationLeaderOperationProcedure, controlpbconnect.FederationElectorateProcedure,
		} {
			assert.Equal(t, http.StatusForbidden, post(t, client, procedure), procedure)
		}
		assert.NotEqual(t, http.StatusForbidden, post(t, client, controlpbconnect.FederationEnrolProcedure))
	})
}

func TestConnectionOfANonMemberIsClosedAfterAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFederation(t)
		f.member("east", eastIP)
		west := f.gateway("west", westIP)
		client := rawClient(t, west, issue(t, west.ca, federationID, time.Now()))
		used := make(map[string]bool) // local addresses, one for each connection
		ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) {
			used[info.Conn.LocalAddr().String()] = true
		}})
		for range 43 {
			request, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://gw1.east/", nil)
			require.NoError(t, err)
			response, err := client.Do(request)
			require.NoError(t, err)
			require.NoError(t, response.Body.Close())
			time.Sleep(7 * time.Second)
		}
		assert.Len(t, used, 5, "one connection for each of five minutes")
	})
}
