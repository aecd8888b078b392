package admin

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"

	"connectrpc.com/connect"

	"github.com/meshway/meshway/agent/build"
	"github.com/meshway/meshway/agent/control/controlpb"
	"github.com/meshway/meshway/agent/status"
)

// inspected is an agent of a gateway or of a node.
type inspected interface {
	Status() status.Snapshot
	Routes(ctx context.Context, destination netip.Addr) (status.RoutesReport, error)
}

// inspection serves the calls that a gateway and a node have in common. They
// change nothing.
type inspection struct{ agent inspected }

// Version returns the build of meshd.
func (inspection) Version(context.Context, *connect.Request[controlpb.VersionRequest]) (*connect.Response[controlpb.VersionResponse], error) {
	info := build.Current()
	return connect.NewResponse(&controlpb.VersionResponse{
		Version: info.Version, Commit: info.Commit, Go: info.Go,
		FeatureLevel: info.FeatureLevel, ControlProtocol: info.ControlProtocol,
	}), nil
}

// Status returns the newest snapshot.
func (i inspection) Status(context.Context, *connect.Request[controlpb.StatusRequest]) (*connect.Response[controlpb.StatusResponse], error) {
	data, err := json.Marshal(i.agent.Status())
	if err != nil {
		return nil, fmt.Errorf("encode status: %w", err)
	}
	return connect.NewResponse(&controlpb.StatusResponse{SnapshotJson: data}), nil
}

// Routes returns the routes of the kernel with their reasons.
func (i inspection) Routes(ctx context.Context, r *connect.Request[controlpb.RoutesRequest]) (*connect.Response[controlpb.RoutesResponse], error) {
	var destination netip.Addr
	if text := r.Msg.GetDestination(); text != "" {
		addr, err := netip.ParseAddr(text)
		if err != nil {
			return nil, invalid("destination", fmt.Sprintf("%q is not an IP address", text), "write an address such as 10.1.2.3 or fd00::1")
		}
		destination = addr.Unmap()
	}
	report, err := i.agent.Routes(ctx, destination)
	if err != nil {
		return nil, err
	}
	data, err := json.Marshal(report)
	if err != nil {
		return nil, fmt.Errorf("encode routes: %w", err)
	}
	return connect.NewResponse(&controlpb.RoutesResponse{ReportJson: data}), nil
}
