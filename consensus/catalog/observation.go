package catalog

import (
	"fmt"

	"github.com/meshway/meshway/consensus/catalog/catalogpb"
)

// putObservations stores observations of the author, all of the command or none.
func (w *writer) putObservations(req request, body *catalogpb.PutObservations) (Result, *Refusal) {
	observations := make([]*Observation, 0, len(body.GetObservations()))
	for i, p := range body.GetObservations() {
		o, err := ObservationFromProto(p)
		if err != nil {
			return Result{}, asRefusal(err).in(at("observations", i))
		}
		if o.Observer == "" {
			o.Observer = req.author
		}
		if r := w.checkObservation(req, o); r != nil {
			return Result{}, r.in(at("observations", i))
		}
		if o.At.IsZero() {
			o.At = req.at
		}
		o.ModifiedIndex = w.index
		observations = append(observations, &o)
	}
	for _, o := range observations {
		insert(w.txn, tableObservations, o)
	}
	return Result{}, nil
}

func (w *writer) checkObservation(req request, o Observation) *Refusal {
	if o.Observer != req.author {
		return &Refusal{
			Code: CodeNotOwner, Field: "observer",
			Message: fmt.Sprintf("gateway %s cannot write observations of gateway %s", req.author, shorten(string(o.Observer))),
			Remedy:  "send only the author's own observations",
		}
	}
	if gateway(w.txn, o.Peer) == nil || o.Peer == o.Observer {
		return unknownGateway("peer", o.Peer)
	}
	if !isReachable(o.Endpoint) {
		return &Refusal{
			Code: CodeEndpointInvalid, Field: "endpoint", Message: fmt.Sprintf("%q cannot be the endpoint of a peer", addrPortText(o.Endpoint)),
			Remedy: "send the address and port from which packets come",
		}
	}
	return nil
}
