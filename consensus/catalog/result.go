package catalog

import (
	"github.com/meshway/meshway/consensus/catalog/catalogpb"
)

// Result is the outcome of one command.
type Result struct {
	Index      uint64     // raft index of the entry with the command
	Refusal    *Refusal   // nil if the command was applied
	Datacenter Datacenter // of Init, Join and UpdateDatacenter: as stored; of RemoveDatacenter: as it was, not after a retry
	Gateway    Gateway    // of Init, Join, AddGateway and UpdateGateway: as stored
}

// One returns the result of the only command of a call, or the error of the call, or the
// refusal of the command.
func One(results []Result, err error) (Result, error) {
	switch {
	case err != nil:
		return Result{}, err
	case results[0].Refusal != nil:
		return results[0], results[0].Refusal
	}
	return results[0], nil
}

// Proto returns the wire form.
func (r Result) Proto() *catalogpb.Result {
	p := &catalogpb.Result{Index: r.Index, Refusal: r.Refusal.Proto()}
	if r.Datacenter.Name != "" {
		p.Datacenter = r.Datacenter.Proto()
	}
	if r.Gateway.Name != "" {
		p.Gateway = r.Gateway.Proto()
	}
	return p
}

// ResultFromProto parses the wire form.
func ResultFromProto(p *catalogpb.Result) (Result, error) {
	r := Result{Index: p.GetIndex(), Refusal: RefusalFromProto(p.GetRefusal())}
	var err error
	if p.GetDatacenter() != nil {
		if r.Datacenter, err = DatacenterFromProto(p.GetDatacenter()); err != nil {
			return Result{}, err
		}
	}
	if p.GetGateway() != nil {
		if r.Gateway, err = GatewayFromProto(p.GetGateway()); err != nil {
			return Result{}, err
		}
	}
	return r, nil
}

// Proto returns the wire form, nil for nil.
func (r *Refusal) Proto() *catalogpb.Refusal {
	if r == nil {
		return nil
	}
	return &catalogpb.Refusal{Code: r.Code, Field: r.Field, Message: r.Message, Remedy: r.Remedy}
}

// RefusalFromProto parses the wire form, nil for nil.
func RefusalFromProto(p *catalogpb.Refusal) *Refusal {
	if p == nil {
		return nil
	}
	return &Refusal{Code: p.GetCode(), Field: p.GetField(), Message: p.GetMessage(), Remedy: p.GetRemedy()}
}
