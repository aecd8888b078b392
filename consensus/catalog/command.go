package catalog

import (
	"net/netip"

	"github.com/meshway/meshway/consensus/catalog/catalogpb"
)

// JoinRequest holds what a datacenter sends to join a federation.
type JoinRequest struct {
	TokenID      string
	SecretHash   [32]byte // HashSecret of the token's secret
	FederationID string
	Datacenter   Datacenter // Name, CACertificate, Prefixes
	Gateway      Gateway    // Name, PublicKey, Endpoints, Controls, Version
}

// NewInit creates a federation of one datacenter with one gateway, which must be
// the author.
func NewInit(f Federation, dc Datacenter, g Gateway) *catalogpb.Command {
	return &catalogpb.Command{Version: g.needs(levelFirst), Body: &catalogpb.Command_Init{Init: &catalogpb.Init{
		Federation: f.Proto(), Datacenter: dc.Proto(), Gateway: g.Proto(),
	}}}
}

// NewCreateToken stores a token. It uses ID, SecretHash, Datacenter and ExpiresAt
// of t only.
func NewCreateToken(t Token) *catalogpb.Command {
	return &catalogpb.Command{Version: levelFirst, Body: &catalogpb.Command_CreateToken{
		CreateToken: &catalogpb.CreateToken{Token: t.Proto()},
	}}
}

// NewRevokeToken revokes a token that has not been used. Only the datacenter that
// created it may do so while it is a member.
func NewRevokeToken(id string) *catalogpb.Command {
	return &catalogpb.Command{Version: levelFirst, Body: &catalogpb.Command_RevokeToken{
		RevokeToken: &catalogpb.RevokeToken{Id: id},
	}}
}

// NewJoin admits a datacenter. Its author is the member that received the request.
func NewJoin(r JoinRequest) *catalogpb.Command {
	return &catalogpb.Command{Version: r.Gateway.needs(levelFirst), Body: &catalogpb.Command_Join{Join: &catalogpb.Join{
		TokenId: r.TokenID, SecretHash: r.SecretHash[:], FederationId: r.FederationID,
		Datacenter: r.Datacenter.Proto(), Gateway: r.Gateway.Proto(),
	}}}
}

// NewLeave removes the author's datacenter and all that it owns.
func NewLeave(dc DatacenterName) *catalogpb.Command {
	return &catalogpb.Command{Version: levelFirst, Body: &catalogpb.Command_Leave{
		Leave: &catalogpb.Leave{Datacenter: string(dc)},
	}}
}

// NewRemoveDatacenter removes a datacenter other than the author's that is
// permanently gone. Unless force is set, the leader refuses to remove a datacenter
// that it was in contact with recently.
func NewRemoveDatacenter(dc DatacenterName, force bool) *catalogpb.Command {
	return &catalogpb.Command{Version: levelFirst, Body: &catalogpb.Command_RemoveDatacenter{
		RemoveDatacenter: &catalogpb.RemoveDatacenter{Datacenter: string(dc), Force: force},
	}}
}

// NewRequestRemoval records that the author's datacenter requested the removal of one
// that is alive. The leader writes it.
func NewRequestRemoval(dc DatacenterName) *catalogpb.Command {
	return &catalogpb.Command{Version: LevelRemoval, Body: &catalogpb.Command_RequestRemoval{
		RequestRemoval: &catalogpb.RequestRemoval{Datacenter: string(dc)},
	}}
}

// NewAddGateway adds a gateway to the author's datacenter, or replaces the record
// of a gateway that returns; its index and overlay address stay. The author is a
// gateway of the datacenter, or the added gateway itself: the member that sets the
// author has verified a certificate of the datacenter's CA.
func NewAddGateway(g Gateway) *catalogpb.Command {
	return &catalogpb.Command{Version: g.needs(levelAddGateway), Body: &catalogpb.Command_AddGateway{
		AddGateway: &catalogpb.AddGateway{Gateway: g.Proto()},
	}}
}

// NewUpdateGateway replaces the public key, endpoints, controls, version, feature
// level, draining state, witness mark and signature of the author. It ignores the other fields of g, except its name.
func NewUpdateGateway(g Gateway) *catalogpb.Command {
	return &catalogpb.Command{Version: g.needs(levelFirst), Body: &catalogpb.Command_UpdateGateway{
		UpdateGateway: &catalogpb.UpdateGateway{Gateway: g.Proto()},
	}}
}

// NewUpdateDatacenter replaces the prefixes and the signature of the author's
// datacenter. It removes
// services and endpoint slices with an address outside the new prefixes.
func NewUpdateDatacenter(dc Datacenter) *catalogpb.Command {
	return &catalogpb.Command{Version: levelFirst, Body: &catalogpb.Command_UpdateDatacenter{
		UpdateDatacenter: &catalogpb.UpdateDatacenter{Datacenter: dc.Proto()},
	}}
}

// NewReplaceCA replaces the CA of the author's datacenter by the one that follows in the
// last of its successions, or retires its predecessor.
func NewReplaceCA(dc Datacenter) *catalogpb.Command {
	return &catalogpb.Command{Version: LevelSuccession, Body: NewUpdateDatacenter(dc).GetBody()}
}

// NewRemoveGateway removes a gateway of the author's datacenter with its services
// and observations. The last gateway cannot be removed: it leaves by NewLeave.
func NewRemoveGateway(id GatewayID) *catalogpb.Command {
	return &catalogpb.Command{Version: levelFirst, Body: &catalogpb.Command_RemoveGateway{
		RemoveGateway: &catalogpb.RemoveGateway{Gateway: string(id)},
	}}
}

// NewAllowPrefixes lets the datacenters other than the author's announce prefixes inside
// the ranges.
func NewAllowPrefixes(ranges []netip.Prefix) *catalogpb.Command {
	allow := &catalogpb.AllowPrefixes{}
	for _, p := range ranges {
		allow.Cidrs = append(allow.Cidrs, p.String())
	}
	return &catalogpb.Command{Version: levelAllow, Body: &catalogpb.Command_AllowPrefixes{AllowPrefixes: allow}}
}

// NewDisallowPrefixes removes ranges that the author's datacenter allowed the others. It
// ignores those that it did not. Prefixes that were announced in them stay.
func NewDisallowPrefixes(ranges []netip.Prefix) *catalogpb.Command {
	removed := NewAllowPrefixes(ranges).GetAllowPrefixes().GetCidrs()
	return &catalogpb.Command{Version: levelDisallow, Body: &catalogpb.Command_AllowPrefixes{AllowPrefixes: &catalogpb.AllowPrefixes{Removed: removed}}}
}

// NewSetLimits sets limits for the datacenters other than the author's; 0 is the default.
func NewSetLimits(limits []Limit) *catalogpb.Command {
	body := &catalogpb.SetLimits{Limits: Settings{Limits: limits}.Proto().GetLimits()}
	return &catalogpb.Command{Version: LevelLimits, Body: &catalogpb.Command_SetLimits{SetLimits: body}}
}

// wire returns the wire forms of a list.
func wire[T, P any](list []T, proto func(T) P) []P {
	out := make([]P, 0, len(list))
	for _, v := range list {
		out = append(out, proto(v))
	}
	return out
}

// NewPutServices registers services of the author's datacenter, all or none of
// them. The command must not exceed MaxCommandSize.
func NewPutServices(services []Service) *catalogpb.Command {
	put := &catalogpb.PutServices{Services: wire(services, Service.Proto)}
	return &catalogpb.Command{Version: levelFirst, Body: &catalogpb.Command_PutServices{PutServices: put}}
}

// NewDeleteServices removes services of the author's datacenter. It ignores keys
// that do not exist.
func NewDeleteServices(keys []ServiceKey) *catalogpb.Command {
	del := &catalogpb.DeleteServices{Services: wire(keys, func(k ServiceKey) *catalogpb.Service { return Service{ServiceKey: k}.Proto() })}
	return &catalogpb.Command{Version: levelFirst, Body: &catalogpb.Command_DeleteServices{DeleteServices: del}}
}

// NewPutExports exports services of the author's datacenter to all members, all or
// none of them. The command must not exceed MaxCommandSize; see package batch.
func NewPutExports(exports []Export) *catalogpb.Command {
	put := &catalogpb.PutExports{Exports: wire(exports, Export.Proto)}
	return &catalogpb.Command{Version: levelFirst, Body: &catalogpb.Command_PutExports{PutExports: put}}
}

// NewDeleteExports removes exports of the author's datacenter with their endpoint
// slices. It ignores keys that do not exist.
func NewDeleteExports(keys []ExportKey) *catalogpb.Command {
	del := &catalogpb.DeleteExports{Exports: wire(keys, func(k ExportKey) *catalogpb.Export { return Export{ExportKey: k}.Proto() })}
	return &catalogpb.Command{Version: levelFirst, Body: &catalogpb.Command_DeleteExports{DeleteExports: del}}
}

// NewPutEndpoints replaces endpoint slices as a whole, all or none of them. Their
// exports must exist, at the latest by an earlier command of the same entry. See
// package batch.
func NewPutEndpoints(slices []EndpointSlice) *catalogpb.Command {
	put := &catalogpb.PutEndpoints{Slices: wire(slices, EndpointSlice.Proto)}
	return &catalogpb.Command{Version: levelFirst, Body: &catalogpb.Command_PutEndpoints{PutEndpoints: put}}
}

// NewDeleteEndpoints removes endpoint slices of the author's datacenter. It ignores
// keys that do not exist.
func NewDeleteEndpoints(keys []EndpointSliceKey) *catalogpb.Command {
	del := &catalogpb.DeleteEndpoints{Slices: wire(keys, func(k EndpointSliceKey) *catalogpb.EndpointSlice { return EndpointSlice{EndpointSliceKey: k}.Proto() })}
	return &catalogpb.Command{Version: levelFirst, Body: &catalogpb.Command_DeleteEndpoints{DeleteEndpoints: del}}
}

// NewPutObservations stores the endpoints at which the author sees its peers.
func NewPutObservations(observations []Observation) *catalogpb.Command {
	put := &catalogpb.PutObservations{Observations: wire(observations, Observation.Proto)}
	return &catalogpb.Command{Version: levelFirst, Body: &catalogpb.Command_PutObservations{PutObservations: put}}
}

// Records returns the records of a datacenter and of a gateway in cmd, nil for one that
// it does not have.
func Records(cmd *catalogpb.Command) (*catalogpb.Datacenter, *catalogpb.Gateway) {
	switch body := cmd.GetBody().(type) {
	case *catalogpb.Command_Init:
		return body.Init.GetDatacenter(), body.Init.GetGateway()
	case *catalogpb.Command_Join:
		return body.Join.GetDatacenter(), body.Join.GetGateway()
	case *catalogpb.Command_UpdateDatacenter:
		return body.UpdateDatacenter.GetDatacenter(), nil
	case *catalogpb.Command_AddGateway:
		return nil, body.AddGateway.GetGateway()
	case *catalogpb.Command_UpdateGateway:
		return nil, body.UpdateGateway.GetGateway()
	}
	return nil, nil
}
