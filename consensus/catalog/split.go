package catalog

import (
	"google.golang.org/protobuf/proto"

	"github.com/meshway/meshway/consensus/catalog/catalogpb"
)

// SplitExports puts exports into as few commands as MaxCommandSize allows, in
// order. An export that is too large by itself gets a command of its own, which
// Apply refuses.
func SplitExports(exports []Export) []*catalogpb.Command {
	return split(exports, func(e Export) int { return proto.Size(e.Proto()) }, NewPutExports)
}

// SplitEndpoints is SplitExports for endpoint slices.
func SplitEndpoints(slices []EndpointSlice) []*catalogpb.Command {
	return split(slices, func(s EndpointSlice) int { return proto.Size(s.Proto()) }, NewPutEndpoints)
}

func split[T any](records []T, size func(T) int, command func([]T) *catalogpb.Command) []*catalogpb.Command {
	const (
		envelope    = 1 << 10 // upper bound of author, client, time and so on
		fieldHeader = 4       // tag and length
	)
	var cmds []*catalogpb.Command
	start, total := 0, envelope
	for i, record := range records {
		n := size(record) + fieldHeader
		if total+n > MaxCommandSize && i > start {
			cmds = append(cmds, command(records[start:i]))
			start, total = i, envelope
		}
		total += n
	}
	if start < len(records) {
		cmds = append(cmds, command(records[start:]))
	}
	return cmds
}
