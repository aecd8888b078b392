//go:build linux && root

package history_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"
	"time"

	"connectrpc.com/connect"

	"github.com/meshway/meshway/agent/admin/adminclient"
	"github.com/meshway/meshway/agent/control/controlpb"
	"github.com/meshway/meshway/agent/control/controlpb/controlpbconnect"
	"github.com/meshway/meshway/consensus"
	"github.com/meshway/meshway/consensus/catalog/catalogpb"
	"github.com/meshway/meshway/e2e/history"
)

// agent is a meshd whose admin socket clients call. It accepts writes of the services
// of its own datacenter only.
type agent struct {
	address string // of all services, in the prefixes of the datacenter
	socket  string // the path of the admin socket
}

func (a *agent) client() controlpbconnect.OperatorClient { return adminclient.Dial(a.socket) }

// Put implements history.Member.
func (a *agent) Put(ctx context.Context, key, value string) (uint64, history.Outcome) {
	service := &catalogpb.Service{
		Namespace: "test", Name: key, Address: a.address,
		Ports:  []*catalogpb.Port{{Name: "http", Protocol: "tcp", Number: 80}},
		Labels: map[string]string{"value": value},
	}
	response, err := a.client().RegisterService(ctx, connect.NewRequest(&controlpb.RegisterServiceRequest{Service: service}))
	switch {
	case notSent(err):
		return 0, history.NotDone
	case err != nil: // it may be in the catalog only, from which meshd removes what it has not stored
		return 0, history.Failed
	case response.Msg.GetQueued(): // meshd stores it until it is written
		return 0, history.Unknown
	}
	return response.Msg.GetIndex(), history.Done
}

// writeLong registers a service that is as large as one may be. It has no clients.
func (a *agent) writeLong(ctx context.Context, number, version int) {
	labels := map[string]string{"version": fmt.Sprint(version)}
	for i := range 15 {
		labels[fmt.Sprintf("filler-%d", i)] = strings.Repeat("x", 240)
	}
	_, err := a.client().RegisterService(ctx, connect.NewRequest(&controlpb.RegisterServiceRequest{Service: &catalogpb.Service{
		Namespace: "test", Name: fmt.Sprintf("filler-%d", number), Address: a.address,
		Ports: []*catalogpb.Port{{Name: "http", Protocol: "tcp", Number: 80}}, Labels: labels,
	}}))
	if err != nil {
		sleep(ctx, 100*time.Millisecond)
	}
}

// Delete implements history.Member.
func (a *agent) Delete(ctx context.Context, key string) (uint64, history.Outcome) {
	response, err := a.client().DeregisterService(ctx, connect.NewRequest(&controlpb.DeregisterServiceRequest{Namespace: "test", Name: key}))
	switch {
	case notSent(err):
		return 0, history.NotDone
	case err != nil || response.Msg.GetQueued():
		return 0, history.Unknown
	case response.Msg.GetRemoved() == 0: // meshd has no registration: nothing is written
		return 0, history.NotDone
	}
	return 0, history.Done
}

// notSent reports whether a call failed because no meshd listens.
func notSent(err error) bool {
	return errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, fs.ErrNotExist)
}

func modeOf(mode consensus.ReadMode) controlpb.ReadMode {
	switch mode {
	case consensus.StaleRead:
		return controlpb.ReadMode_READ_MODE_STALE
	case consensus.ConsistentRead:
		return controlpb.ReadMode_READ_MODE_CONSISTENT
	case consensus.LeaseRead:
	}
	return controlpb.ReadMode_READ_MODE_LEASE
}

var errAmbiguous = errors.New("several services have the name")

// Read implements history.Member.
func (a *agent) Read(ctx context.Context, key string, mode consensus.ReadMode) (string, uint64, error) {
	response, err := a.client().ListServices(ctx, connect.NewRequest(&controlpb.ListServicesRequest{
		Mode: modeOf(mode), Namespace: "test", Name: key,
	}))
	if err != nil {
		return "", 0, err //nolint:wrapcheck // only its existence matters
	}
	index, services := response.Msg.GetFreshness().GetIndex(), response.Msg.GetServices()
	switch len(services) {
	case 0:
		return "", index, nil
	case 1:
		return services[0].GetLabels()["value"], index, nil
	}
	return "", 0, errAmbiguous
}
