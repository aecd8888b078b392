package catalog

import (
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/meshway/meshway/consensus/catalog/catalogpb"
)

// Version is the newest meaning of commands that this build knows. Raise it when
// a command gains a field or a rule, so that members which would apply
// it differently stop instead of diverging. A new kind of command does not raise
// it: to a build that does not know the kind it is an unknown command.
//
//	1  the first
//	2  AddGateway may be repeated, and the gateway itself may be its author
const Version = 2

// Commands carry the version that gave them their meaning, so that older members
// stop only at those that they would take for something else.
const (
	versionFirst      = 1
	versionAddGateway = 2
)

// JoinRequest is what a datacenter brings to be admitted.
type JoinRequest struct {
	TokenID      string
	SecretHash   [32]byte // HashSecret of the token's secret
	FederationID string
	Datacenter   Datacenter // Name, CACertificate, Prefixes
	Gateway      Gateway    // Name, PublicKey, Endpoints, Controls, Version
}

// NewInit makes a federation out of one datacenter with one gateway. Its author
// is that gateway.
func NewInit(f Federation, dc Datacenter, g Gateway) *catalogpb.Command {
	return &catalogpb.Command{Version: versionFirst, Body: &catalogpb.Command_Init{Init: &catalogpb.Init{
		Federation: f.Proto(), Datacenter: dc.Proto(), Gateway: g.Proto(),
	}}}
}

// NewCreateToken stores a token; ID, SecretHash, Datacenter and ExpiresAt count.
func NewCreateToken(t Token) *catalogpb.Command {
	return &catalogpb.Command{Version: versionFirst, Body: &catalogpb.Command_CreateToken{
		CreateToken: &catalogpb.CreateToken{Token: t.Proto()},
	}}
}

// NewRevokeToken ends a token that was not used yet. Any member may do so.
func NewRevokeToken(id string) *catalogpb.Command {
	return &catalogpb.Command{Version: versionFirst, Body: &catalogpb.Command_RevokeToken{
		RevokeToken: &catalogpb.RevokeToken{Id: id},
	}}
}

// NewJoin admits a datacenter. Its author is the member that the newcomer asked.
func NewJoin(r JoinRequest) *catalogpb.Command {
	return &catalogpb.Command{Version: versionFirst, Body: &catalogpb.Command_Join{Join: &catalogpb.Join{
		TokenId: r.TokenID, SecretHash: r.SecretHash[:], FederationId: r.FederationID,
		Datacenter: r.Datacenter.Proto(), Gateway: r.Gateway.Proto(),
	}}}
}

// NewLeave removes the author's datacenter and all that it owns.
func NewLeave(dc DatacenterName) *catalogpb.Command {
	return &catalogpb.Command{Version: versionFirst, Body: &catalogpb.Command_Leave{
		Leave: &catalogpb.Leave{Datacenter: string(dc)},
	}}
}

// NewRemoveDatacenter removes a datacenter that is gone for good, on the word of
// another one. Unless forced, the leader of the catalog refuses it for one that it
// has heard lately.
func NewRemoveDatacenter(dc DatacenterName, force bool) *catalogpb.Command {
	return &catalogpb.Command{Version: versionFirst, Body: &catalogpb.Command_RemoveDatacenter{
		RemoveDatacenter: &catalogpb.RemoveDatacenter{Datacenter: string(dc), Force: force},
	}}
}

// NewAddGateway adds a gateway to the author's datacenter, or replaces what is
// known of one that comes back: its index and overlay address stay. Its author is a
// gateway of the datacenter or the very gateway that is added: whoever puts an
// author's name on a command has seen a certificate of the datacenter's CA.
func NewAddGateway(g Gateway) *catalogpb.Command {
	return &catalogpb.Command{Version: versionAddGateway, Body: &catalogpb.Command_AddGateway{
		AddGateway: &catalogpb.AddGateway{Gateway: g.Proto()},
	}}
}

// NewUpdateGateway replaces endpoints, controls, version and public key of the
// author itself; the other fields of g, but its name, do not count.
func NewUpdateGateway(g Gateway) *catalogpb.Command {
	return &catalogpb.Command{Version: versionFirst, Body: &catalogpb.Command_UpdateGateway{
		UpdateGateway: &catalogpb.UpdateGateway{Gateway: g.Proto()},
	}}
}

// NewUpdateDatacenter replaces the prefixes of the author's datacenter. Services
// whose address no longer lies in them are removed with it.
func NewUpdateDatacenter(dc Datacenter) *catalogpb.Command {
	return &catalogpb.Command{Version: versionFirst, Body: &catalogpb.Command_UpdateDatacenter{
		UpdateDatacenter: &catalogpb.UpdateDatacenter{Datacenter: dc.Proto()},
	}}
}

// NewRemoveGateway removes a gateway of the author's datacenter, with the
// services that it owns and what it saw. The last one leaves by NewLeave.
func NewRemoveGateway(id GatewayID) *catalogpb.Command {
	return &catalogpb.Command{Version: versionFirst, Body: &catalogpb.Command_RemoveGateway{
		RemoveGateway: &catalogpb.RemoveGateway{Gateway: string(id)},
	}}
}

// NewPutServices registers services of the author's datacenter: all or none.
// A command is at most MaxCommandSize.
func NewPutServices(services []Service) *catalogpb.Command {
	put := &catalogpb.PutServices{Services: make([]*catalogpb.Service, 0, len(services))}
	for _, s := range services {
		put.Services = append(put.Services, s.Proto())
	}
	return &catalogpb.Command{Version: versionFirst, Body: &catalogpb.Command_PutServices{PutServices: put}}
}

// NewDeleteServices removes services of the author's datacenter. One that is
// not there is no error: what was asked for holds.
func NewDeleteServices(keys []ServiceKey) *catalogpb.Command {
	del := &catalogpb.DeleteServices{Services: make([]*catalogpb.Service, 0, len(keys))}
	for _, k := range keys {
		del.Services = append(del.Services, &catalogpb.Service{
			Datacenter: string(k.Datacenter), Namespace: k.Namespace, Name: k.Name, Instance: k.Instance,
		})
	}
	return &catalogpb.Command{Version: versionFirst, Body: &catalogpb.Command_DeleteServices{DeleteServices: del}}
}

// NewPutExports offers services of the author's datacenter to all members: all
// or none. A command is at most MaxCommandSize; see SplitExports.
func NewPutExports(exports []Export) *catalogpb.Command {
	put := &catalogpb.PutExports{Exports: make([]*catalogpb.Export, 0, len(exports))}
	for _, e := range exports {
		put.Exports = append(put.Exports, e.Proto())
	}
	return &catalogpb.Command{Version: versionFirst, Body: &catalogpb.Command_PutExports{PutExports: put}}
}

// NewDeleteExports withdraws exports of the author's datacenter with all of their
// endpoint slices. One that is not there is no error.
func NewDeleteExports(keys []ExportKey) *catalogpb.Command {
	del := &catalogpb.DeleteExports{Exports: make([]*catalogpb.Export, 0, len(keys))}
	for _, k := range keys {
		del.Exports = append(del.Exports, Export{ExportKey: k}.Proto())
	}
	return &catalogpb.Command{Version: versionFirst, Body: &catalogpb.Command_DeleteExports{DeleteExports: del}}
}

// NewPutEndpoints replaces whole slices of exports that are there, or in an
// earlier command: all or none. See SplitEndpoints.
func NewPutEndpoints(slices []EndpointSlice) *catalogpb.Command {
	put := &catalogpb.PutEndpoints{Slices: make([]*catalogpb.EndpointSlice, 0, len(slices))}
	for _, s := range slices {
		put.Slices = append(put.Slices, s.Proto())
	}
	return &catalogpb.Command{Version: versionFirst, Body: &catalogpb.Command_PutEndpoints{PutEndpoints: put}}
}

// NewDeleteEndpoints removes slices of the author's datacenter. One that is not
// there is no error.
func NewDeleteEndpoints(keys []EndpointSliceKey) *catalogpb.Command {
	del := &catalogpb.DeleteEndpoints{Slices: make([]*catalogpb.EndpointSlice, 0, len(keys))}
	for _, k := range keys {
		del.Slices = append(del.Slices, EndpointSlice{EndpointSliceKey: k}.Proto())
	}
	return &catalogpb.Command{Version: versionFirst, Body: &catalogpb.Command_DeleteEndpoints{DeleteEndpoints: del}}
}

// NewPutObservations stores what the author sees of its peers.
func NewPutObservations(observations []Observation) *catalogpb.Command {
	put := &catalogpb.PutObservations{Observations: make([]*catalogpb.Observation, 0, len(observations))}
	for _, o := range observations {
		put.Observations = append(put.Observations, o.Proto())
	}
	return &catalogpb.Command{Version: versionFirst, Body: &catalogpb.Command_PutObservations{PutObservations: put}}
}

// Marshal encodes commands as the data of one raft log entry. The same commands
// give the same bytes.
func Marshal(cmds ...*catalogpb.Command) ([]byte, error) {
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(&catalogpb.Entry{Commands: cmds})
	if err != nil {
		return nil, fmt.Errorf("encode entry: %w", err)
	}
	return b, nil
}
