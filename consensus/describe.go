package consensus

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"

	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/catalogpb"
)

// Describe returns the kind of a command, "put-services", and what it changes,
// "services: 1". It never contains a secret.
func Describe(cmd *catalogpb.Command) (kind, subject string) {
	message := cmd.ProtoReflect()
	field := message.WhichOneof(message.Descriptor().Oneofs().ByName("body"))
	if field == nil {
		return "unknown", ""
	}
	return strings.ReplaceAll(string(field.Name()), "_", "-"), subjectOf(cmd)
}

func subjectOf(cmd *catalogpb.Command) string {
	switch body := cmd.GetBody().(type) {
	case *catalogpb.Command_Init:
		return "federation " + body.Init.GetFederation().GetName()
	case *catalogpb.Command_CreateToken:
		return "token " + body.CreateToken.GetToken().GetId()
	case *catalogpb.Command_RevokeToken:
		return "token " + body.RevokeToken.GetId()
	case *catalogpb.Command_Join:
		return "datacenter " + body.Join.GetDatacenter().GetName()
	case *catalogpb.Command_Leave:
		return "datacenter " + body.Leave.GetDatacenter()
	case *catalogpb.Command_AllowPrefixes:
		return rangesSubject(body.AllowPrefixes)
	case *catalogpb.Command_SetLimits:
		return limitsSubject(body.SetLimits.GetLimits())
	case *catalogpb.Command_TransferLeader:
		return "leadership to " + cmp.Or(body.TransferLeader.GetTo(), "a gateway that the leader chooses")
	case *catalogpb.Command_RemovePeer:
		return "raft peer " + body.RemovePeer.GetId()
	case *catalogpb.Command_UpdateDatacenter:
		if cmd.GetVersion() >= catalog.LevelSuccession {
			return "CA of datacenter " + body.UpdateDatacenter.GetDatacenter().GetName()
		}
		return "datacenter " + body.UpdateDatacenter.GetDatacenter().GetName()
	case *catalogpb.Command_RemoveDatacenter:
		return "datacenter " + body.RemoveDatacenter.GetDatacenter()
	case *catalogpb.Command_RequestRemoval:
		return "datacenter " + body.RequestRemoval.GetDatacenter()
	case *catalogpb.Command_AddGateway:
		return gatewaySubject(body.AddGateway.GetGateway())
	case *catalogpb.Command_UpdateGateway:
		return gatewaySubject(body.UpdateGateway.GetGateway())
	case *catalogpb.Command_RemoveGateway:
		return "gateway " + body.RemoveGateway.GetGateway()
	case *catalogpb.Command_PutServices:
		return counted("services", len(body.PutServices.GetServices()))
	case *catalogpb.Command_DeleteServices:
		return counted("services", len(body.DeleteServices.GetServices()))
	case *catalogpb.Command_PutExports:
		return counted("exports", len(body.PutExports.GetExports()))
	case *catalogpb.Command_DeleteExports:
		return counted("exports", len(body.DeleteExports.GetExports()))
	case *catalogpb.Command_PutEndpoints:
		return counted("endpoint slices", len(body.PutEndpoints.GetSlices()))
	case *catalogpb.Command_DeleteEndpoints:
		return counted("endpoint slices", len(body.DeleteEndpoints.GetSlices()))
	case *catalogpb.Command_PutObservations:
		return counted("observations", len(body.PutObservations.GetObservations()))
	}
	return ""
}

// rangesSubject returns "ranges 203.0.113.0/24, without 198.51.100.0/24". It lists the
// first ones of each.
func rangesSubject(body *catalogpb.AllowPrefixes) string {
	const most = 4
	list := func(ranges []string) string {
		if n := len(ranges) - most; n > 0 {
			return fmt.Sprintf("%s and %d more", strings.Join(ranges[:most], " "), n)
		}
		return strings.Join(ranges, " ")
	}
	switch {
	case len(body.GetRemoved()) == 0:
		return "ranges " + list(body.GetCidrs())
	case len(body.GetCidrs()) == 0:
		return "without ranges " + list(body.GetRemoved())
	}
	return "ranges " + list(body.GetCidrs()) + ", without " + list(body.GetRemoved())
}

// limitsSubject returns "limits services 20000, memory default".
func limitsSubject(limits []*catalogpb.Limit) string {
	var texts []string
	for _, l := range limits {
		most := "default"
		if l.GetMost() > 0 {
			most = strconv.FormatUint(l.GetMost(), 10)
		}
		texts = append(texts, l.GetResource()+" "+most)
	}
	return "limits " + strings.Join(texts, ", ")
}

func gatewaySubject(g *catalogpb.Gateway) string {
	return "gateway " + string(catalog.NewGatewayID(catalog.DatacenterName(g.GetDatacenter()), g.GetName()))
}

func counted(what string, n int) string { return fmt.Sprintf("%s: %d", what, n) }
