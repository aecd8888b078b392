// Package batch puts records of the catalog into as few commands as their size allows.
package batch

import (
	"google.golang.org/protobuf/proto"

	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/catalogpb"
)

// Exports puts exports into as few commands as catalog.MaxCommandSize allows, in
// order. An export that is too large by itself gets a command of its own, which
// the catalog refuses.
func Exports(exports []catalog.Export) []*catalogpb.Command {
	return split(exports, func(e catalog.Export) int { return proto.Size(e.Proto()) }, catalog.NewPutExports)
}

// Endpoints is Exports for endpoint slices.
func Endpoints(slices []catalog.EndpointSlice) []*catalogpb.Command {
	return split(slices, func(s catalog.EndpointSlice) int { return proto.Size(s.Proto()) }, catalog.NewPutEndpoints)
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
		if total+n > catalog.MaxCommandSize && i > start {
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
