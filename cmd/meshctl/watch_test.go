package main

import (
	"context"
	"errors"
	"strings"
	"testing"
	"unicode"

	"connectrpc.com/connect"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/agent/api/apipb"
	"github.com/meshway/meshway/agent/api/apipb/apipbconnect"
	"github.com/meshway/meshway/agent/rpc"
	"github.com/meshway/meshway/cmd/meshctl/internal/fault"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/catalogpb"
)

// watched sends the responses of a script, one part for each call, and then refuses.
type watched struct {
	apipbconnect.UnimplementedCatalogHandler
	script   [][]*apipb.WatchResponse
	requests []*apipb.WatchRequest
}

func (w *watched) Watch(_ context.Context, r *connect.Request[apipb.WatchRequest], s *connect.ServerStream[apipb.WatchResponse]) error {
	w.requests = append(w.requests, r.Msg)
	if len(w.requests) > len(w.script) {
		return rpc.NewRefusal(connect.CodeInvalidArgument, &catalog.Refusal{Code: "end", Message: "the script ends"})
	}
	for _, response := range w.script[len(w.requests)-1] {
		if err := s.Send(response); err != nil {
			return err
		}
	}
	return connect.NewError(connect.CodeUnavailable, errors.New("meshd ends"))
}

func webAt(address string, index uint64) *apipb.Item {
	return &apipb.Item{ModifiedIndex: index, Kind: &apipb.Item_Service{Service: &catalogpb.Service{
		Datacenter: "east", Namespace: "default", Name: "web", Instance: "a", Owner: "east/gw1", Address: address,
		Ports: []*catalogpb.Port{{Protocol: "tcp", Number: 80}}, ModifiedIndex: index,
	}}}
}

func watchScript() *watched {
	shop := &apipb.Item{ModifiedIndex: 9, Kind: &apipb.Item_Export{Export: &apipb.ExportedService{
		Export: &catalogpb.Export{Datacenter: "west", Namespace: "shop", Name: "api", Type: "ClusterSetIP"},
		Slices: []*catalogpb.EndpointSlice{{Endpoints: []*catalogpb.Endpoint{{Ready: true}, {}}}},
	}}}
	return &watched{script: [][]*apipb.WatchResponse{
		{{State: true, Index: 10, Changes: []*apipb.Change{{Item: webAt("10.1.0.5", 8)}, {Item: shop}}}},
		{{Index: 11, Changes: []*apipb.Change{{Item: webAt("10.1.0.6", 11)}}}, {Index: 12, Changes: []*apipb.Change{{Deleted: true, Item: webAt("10.1.0.6", 11)}}}},
	}}
}

func TestWatchPrintsEachChangeAndContinuesWhereItWas(t *testing.T) {
	script := watchScript()
	r := meshctl(t, &fakeMeshd{catalog: script}, "watch", "--labels", "app=web")
	assert.Equal(t, fault.ExitRefused, r.code, r.err)
	assert.Equal(t, []string{
		"10  put  web  default  east  10.1.0.5  80/tcp  a",
		"10  put  api  shop  west  1/2 ready    -",
		"11  put  web  default  east  10.1.0.6  80/tcp  a",
		"12  delete  web  default  east  10.1.0.6  80/tcp  a",
	}, strings.Split(strings.TrimSpace(r.out), "\n"))
	require.Len(t, script.requests, 3)
	assert.Equal(t, "app=web", script.requests[0].GetLabels())
	assert.Equal(t, "lease", script.requests[0].GetRead())
	assert.Equal(t, uint64(10), script.requests[1].GetIndex())
	assert.Equal(t, uint64(12), script.requests[2].GetIndex())
	assert.Contains(t, r.err, "the script ends")
}

func TestWatchPrintsOneLineOfJSONForEachChange(t *testing.T) {
	script := watchScript()
	r := meshctl(t, &fakeMeshd{catalog: script}, "services", "web", "--namespace", "default", "--watch", "-o", "json")
	lines := strings.Split(strings.TrimSpace(r.out), "\n")
	require.Len(t, lines, 4)
	assert.JSONEq(t, `{"index":12,"change":"delete","service":{"datacenter":"east","namespace":"default","name":"web","instance":"a",
		"owner":"east/gw1","address":"10.1.0.6","ports":[{"port":80,"protocol":"tcp"}],"modifiedIndex":11}}`, lines[3])
	assert.Equal(t, "web", script.requests[0].GetName())
	assert.Equal(t, "default", script.requests[0].GetNamespace())
}

func TestChangesOfOthersCannotControlTheTerminalInAnyFormat(t *testing.T) {
	for _, format := range []string{"table", "json", "yaml"} {
		t.Run(format, func(t *testing.T) {
			item := webAt("10.1.0.5", 8)
			item.GetService().Labels = map[string]string{"\u009b2J\x1b[2J\u202e": "\u009b2J\x7f\x1b]0;title\a\u2028\nservice: null"}
			item.GetService().Instance = "\u009b2J\x1b[2J"
			script := &watched{script: [][]*apipb.WatchResponse{{{Index: 11, Changes: []*apipb.Change{{Item: item}}}}}}
			r := meshctl(t, &fakeMeshd{catalog: script}, "watch", "-o", format)
			require.Contains(t, r.out, "web")
			for _, c := range r.out {
				require.True(t, c == '\n' || unicode.IsPrint(c), "%q in %q", c, r.out)
			}
			assert.NotContains(t, r.out, "\nservice: null")
		})
	}
}
