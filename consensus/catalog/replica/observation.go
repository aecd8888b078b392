package replica

import (
	"fmt"

	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/catalogpb"
)

// putObservations stores observations of the author, all of the command or none.
func (w *writer) putObservations(req request, body *catalogpb.PutObservations) (catalog.Result, *catalog.Refusal) {
	observations, r := readAll("observations", body.GetObservations(), catalog.ObservationFromProto, func(o *catalog.Observation) *catalog.Refusal {
		if o.Observer == "" {
			o.Observer = req.author
		}
		return w.checkObservation(req, *o)
	})
	if r != nil {
		return catalog.Result{}, r
	}
	for _, o := range observations {
		if o.At.IsZero() {
			o.At = req.at
		}
		o.ModifiedIndex = w.index
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
