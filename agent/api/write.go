package api

import (
	"context"

	"connectrpc.com/connect"

	"github.com/meshway/meshway/agent/api/access"
	"github.com/meshway/meshway/agent/api/apipb"
	"github.com/meshway/meshway/consensus/catalog"
)

// Register registers a service of this datacenter.
func (s *server) Register(ctx context.Context, r *connect.Request[apipb.RegisterRequest]) (*connect.Response[apipb.RegisterResponse], error) {
	if r.Msg.GetService().GetName() == "" {
		return nil, invalid("service.name", "the name of the service is missing", "set service.name")
	}
	service, err := catalog.ServiceFromProto(r.Msg.GetService())
	if err != nil {
		refusal := catalog.AsRefusal(err).In("service")
		return nil, invalid(refusal.Field, refusal.Message, "correct the field and send the request again")
	}
	return once(ctx, s.requests, requestID{access.ProgramOf(ctx), r.Msg.GetRequestId()}, r.Msg, func(ctx context.Context) (*apipb.RegisterResponse, error) {
		registrar, err := s.cfg.Registrar()
		if err != nil {
			return nil, err
		}
		response := new(apipb.RegisterResponse)
		if r.Msg.IfIndex != nil {
			response.Index, err = registrar.RegisterIf(ctx, service, r.Msg.GetIfIndex())
		} else {
			response.Index, response.Queued, err = registrar.Register(ctx, service)
		}
		if err != nil {
			return nil, conflictOr(err)
		}
		stored, found := registrar.Instance(service)
		response.Instance = stored.Instance
		if found && !response.GetQueued() {
			response.Index = stored.ModifiedIndex // an earlier one, if the write changed nothing
		}
		return response, nil
	})
}

// Deregister removes services of this datacenter.
func (s *server) Deregister(ctx context.Context, r *connect.Request[apipb.DeregisterRequest]) (*connect.Response[apipb.DeregisterResponse], error) {
	if r.Msg.GetName() == "" {
		return nil, invalid("name", "the name of the service is missing", "set name")
	}
	if r.Msg.IfIndex != nil && r.Msg.GetInstance() == "" {
		return nil, invalid("instance", "if_index is that of one instance", "set instance, or omit if_index")
	}
	return once(ctx, s.requests, requestID{access.ProgramOf(ctx), r.Msg.GetRequestId()}, r.Msg, func(ctx context.Context) (*apipb.DeregisterResponse, error) {
		registrar, err := s.cfg.Registrar()
		if err != nil {
			return nil, err
		}
		if r.Msg.IfIndex != nil {
			key := catalog.ServiceKey{Namespace: r.Msg.GetNamespace(), Name: r.Msg.GetName(), Instance: r.Msg.GetInstance()}
			if err := registrar.DeregisterIf(ctx, key, r.Msg.GetIfIndex()); err != nil {
				return nil, conflictOr(err)
			}
			return &apipb.DeregisterResponse{Removed: 1}, nil
		}
		removed, queued, err := registrar.Deregister(ctx, r.Msg.GetNamespace(), r.Msg.GetName(), r.Msg.GetInstance())
		if err != nil {
			return nil, err
		}
		return &apipb.DeregisterResponse{Removed: uint32(removed), Queued: queued}, nil //nolint:gosec // not negative
	})
}
