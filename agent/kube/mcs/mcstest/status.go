package mcstest

import (
	"fmt"
	"testing"

	"github.com/meshway/meshway/agent/kube/mcs"
	"github.com/meshway/meshway/consensus/catalog"
)

func testStatus(t *testing.T, f *fixture) {
	f.createService("web", nil, "10.1.0.1")
	f.createExport("web")
	f.exportFrom("west", f.ns, "db", 0, nil, "10.2.0.1")
	f.eventually(f.imported(f.ns, "web"), "ClusterSetIP east | 10.1.0.1")
	f.eventually(f.imported(f.ns, "db"), "ClusterSetIP west | 10.2.0.1")
	f.eventually(func() string {
		s := f.controller.Status()
		return fmt.Sprint(s.Writer, s.Exports, s.Imports, s.EndpointSlices)
	}, "true 1 2 2")
	before := f.controller.Status().WriteErrors
	f.createService(mcs.DerivedName(catalog.ServiceName{Namespace: f.ns, Name: "taken"}), nil)
	f.exportFrom("west", f.ns, "taken", 0, nil)
	f.eventually(func() string { return fmt.Sprint(f.controller.Status().WriteErrors > before) }, "true")
}
