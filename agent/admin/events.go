package admin

import (
	"context"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/meshway/meshway/agent/control/controlpb"
	"github.com/meshway/meshway/consensus"
)

// ListEvents lists commands of the catalog.
func (h Handler) ListEvents(_ context.Context, r *connect.Request[controlpb.ListEventsRequest]) (*connect.Response[controlpb.ListEventsResponse], error) {
	federation, err := h.Agent.Member()
	if err != nil {
		return nil, err
	}
	events, through, err := federation.Events(consensus.EventQuery{After: r.Msg.GetAfter(), Author: r.Msg.GetAuthor(), Limit: int(r.Msg.GetLimit())})
	if err != nil {
		return nil, err
	}
	state := federation.Status()
	response := &controlpb.ListEventsResponse{Through: through, Freshness: &controlpb.Freshness{
		Index: state.AppliedIndex, Leader: string(state.Leader), LastContact: durationpb.New(state.LastContact),
	}}
	for _, e := range events {
		response.Events = append(response.Events, &controlpb.Event{
			Index: e.Index, At: timestamppb.New(e.At), Author: string(e.Author), Kind: e.Kind, Subject: e.Subject,
		})
	}
	return connect.NewResponse(response), nil
}
