package replica

import (
	"fmt"

	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/catalogpb"
)

// putObservations stores observations of the author, all of the command or none.
func (w *writer) putObservations(req request, body *catalogpb.PutObservations) (catalog.Result, *catalog.Refusal) {
	observations := make([]*catalog.Observation, 0, len(body.GetObservations()))
	for i, p := range body.GetObservations() {
		o, err := catalog.ObservationFromProto(p)
		if err != nil {
			return catalog.Result{}, catalog.AsRefusal(err).In(catalog.At("observations", i))
		}
		if o.Observer == "" {
			o.Observer = req.author
		}
		if r := w.checkObservation(req, o); r != nil {
			return catalog.Result{}, r.In(catalog.At("observations", i))
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
	return catalog.Result{}, nil
}

func (w *writer) checkObservation(req request, o catalog.Observation) *catalog.Refusal {
	if o.Observer != req.author {
		return &catalog.Refusal{
			Code: catalog.CodeNotOwner, Field: "observer",
			Message: fmt.Sprintf("gateway %s cannot write observations of gateway %s", req.author, catalog.Shorten(string(o.Observer))),
			Remedy:  "send only the author's own observations",
		}
	}
	if gateway(w.txn, o.Peer) == nil || o.Peer == o.Observer {
		return unknownGateway("peer", o.Peer)
	}
	return o.Check()
}
