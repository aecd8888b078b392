// Package recovery recovers the catalog on the gateways of a cluster that remain after
// its quorum is permanently lost.
package recovery

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"connectrpc.com/connect"
	"golang.org/x/sync/errgroup"

	"github.com/meshway/meshway/agent/control/controlpb"
	"github.com/meshway/meshway/agent/control/controlpb/controlpbconnect"
	"github.com/meshway/meshway/cmd/meshctl/internal/fault"
	"github.com/meshway/meshway/cmd/meshctl/internal/human"
)

// Survivor is a gateway of the cluster whose agent answers.
type Survivor struct {
	ID     string // of the gateway
	Client controlpbconnect.OperatorClient
}

// Survivors are all of them.
type Survivors []Survivor

// IDs returns the ids of the gateways.
func (s Survivors) IDs() []string {
	var ids []string
	for _, g := range s {
		ids = append(ids, g.ID)
	}
	return ids
}

// Check returns an error if a gateway would keep the former catalog.
func (s Survivors) Check(voters []string) error {
	for _, g := range s {
		if !slices.Contains(voters, g.ID) {
			return &fault.Fault{
				Code: fault.ExitUsage, Field: "--peer",
				Message: fmt.Sprintf("gateway %s of the cluster is not named: it would keep the former catalog", g.ID),
				Remedy:  "add --peer " + g.ID + ", or remove the gateway label from its node",
			}
		}
	}
	return nil
}

// Recover sends the request to all gateways at the same time, so that none uses the
// former catalog while another one has recovered.
func (s Survivors) Recover(ctx context.Context, request *controlpb.Recover) ([]*controlpb.OperateResponse, error) {
	responses := make([]*controlpb.OperateResponse, len(s))
	var group errgroup.Group
	for i, g := range s {
		group.Go(func() error {
			response, err := g.Client.Operate(ctx, connect.NewRequest(&controlpb.OperateRequest{
				Operation: &controlpb.OperateRequest_Recover{Recover: request},
			}))
			if err != nil {
				return err
			}
			responses[i] = response.Msg
			return nil
		})
	}
	return responses, group.Wait()
}

// Plan describes a recovery, one fact a line.
func (s Survivors) Plan(former, voters []string) string {
	lost := slices.DeleteFunc(slices.Clone(former), func(id string) bool { return slices.Contains(voters, id) })
	local := s.IDs()
	elsewhere := slices.DeleteFunc(slices.Clone(voters), func(id string) bool { return slices.Contains(local, id) })
	lines := []string{
		"The catalog of " + strings.Join(local, ", ") + " becomes authoritative:",
		"  voters: " + strings.Join(voters, ", "),
		"  no longer voters: " + cmp.Or(strings.Join(lost, ", "), "none"),
		"  lost: writes that only the latter had",
	}
	if len(elsewhere) > 0 {
		lines = append(lines, "  run the same command at the same time for the clusters of: "+strings.Join(elsewhere, ", "))
	}
	for i := range lines {
		lines[i] = human.Clean(lines[i])
	}
	return strings.Join(lines, "\n") + "\n"
}
