package control

import (
	"context"
	"fmt"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	"github.com/meshway/meshway/agent/control/controlpb"
	"github.com/meshway/meshway/agent/control/controlpb/controlpbconnect"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/catalogpb"
	"github.com/meshway/meshway/consensus/sharedcall"
)

const (
	// maxAtOnce is the number of calls of one kind to one gateway under way. It is below
	// maxCalls of the other side, and more than one, so that on a long path a caller
	// does not wait for the whole round trip of others.
	maxAtOnce = 4
	// maxTogether bounds the commands that share a message, in bytes. They become one
	// entry of the log, whose limit is raftnode's.
	maxTogether = 192 << 10
	// minWeight makes the same bound one of their number, below maxCommands.
	minWeight = 64
)

// callee is another gateway that is called. The calls of many callers share messages.
type callee struct {
	controlpbconnect.FederationClient
	id                catalog.GatewayID
	apply             sharedcall.Group[[]*catalogpb.Command, applied]
	confirmed, leased sharedcall.Group[struct{}, uint64] // ReadIndex
}

// applied is the outcome of one caller of Apply.
type applied struct {
	results []catalog.Result
	err     error
}

func newCallee(id catalog.GatewayID, client controlpbconnect.FederationClient) *callee {
	c := &callee{FederationClient: client, id: id}
	c.apply.Do, c.apply.Limit, c.apply.AtOnce = c.applyTogether, maxTogether, maxAtOnce
	c.confirmed.AtOnce, c.leased.AtOnce = maxAtOnce, maxAtOnce
	c.confirmed.Do = func(ctx context.Context, callers []struct{}) ([]uint64, error) {
		return c.readTogether(ctx, callers, false)
	}
	c.leased.Do = func(ctx context.Context, callers []struct{}) ([]uint64, error) {
		return c.readTogether(ctx, callers, true)
	}
	return c
}

func weightOf(commands []*catalogpb.Command) int {
	weight := 0
	for _, command := range commands {
		weight += max(proto.Size(command), minWeight)
	}
	return weight
}

// applyTogether writes the commands of several callers. A command that the other side
// rejects makes it reject all of the message, without effect: then each caller gets a
// message of its own.
func (c *callee) applyTogether(ctx context.Context, callers [][]*catalogpb.Command) ([]applied, error) {
	var all []*catalogpb.Command
	for _, commands := range callers {
		all = append(all, commands...)
	}
	results, err := c.applyAll(ctx, all)
	outcomes := make([]applied, len(callers))
	for i, commands := range callers {
		switch {
		case err == nil:
			outcomes[i].results, results = results[:len(commands):len(commands)], results[len(commands):]
		case len(callers) > 1 && connect.CodeOf(err) == connect.CodeFailedPrecondition:
			outcomes[i].results, outcomes[i].err = c.applyAll(ctx, commands)
		default:
			outcomes[i].err = err
		}
	}
	return outcomes, nil
}

func (c *callee) applyAll(ctx context.Context, commands []*catalogpb.Command) ([]catalog.Result, error) {
	response, err := c.FederationClient.Apply(ctx, connect.NewRequest(&controlpb.ApplyRequest{Commands: commands}))
	if err != nil {
		return nil, err
	}
	if got := len(response.Msg.GetResults()); got != len(commands) {
		return nil, fmt.Errorf("apply on %s: %d results for %d commands", c.id, got, len(commands))
	}
	results := make([]catalog.Result, len(commands))
	for i, result := range response.Msg.GetResults() {
		if results[i], err = catalog.ResultFromProto(result); err != nil {
			return nil, fmt.Errorf("apply on %s: result %d: %w", c.id, i, err)
		}
	}
	return results, nil
}

// readTogether makes one call for all callers: it begins after they called.
func (c *callee) readTogether(ctx context.Context, callers []struct{}, lease bool) ([]uint64, error) {
	response, err := c.FederationClient.ReadIndex(ctx, connect.NewRequest(&controlpb.ReadIndexRequest{Lease: lease}))
	if err != nil {
		return nil, err
	}
	indexes := make([]uint64, len(callers))
	for i := range indexes {
		indexes[i] = response.Msg.GetIndex()
	}
	return indexes, nil
}
