package controller

import (
	"context"
	"errors"
	"log/slog"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/record"
	mcsclient "sigs.k8s.io/mcs-api/pkg/client/clientset/versioned"

	"github.com/meshway/meshway/agent/kube/election"
	"github.com/meshway/meshway/agent/kube/mcs"
	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/catalogpb"
	"github.com/meshway/meshway/consensus/catalog/feed"
	"github.com/meshway/meshway/consensus/catalog/replica"
)

// LeaseName is the name of the Lease of the gateway that writes services.
const LeaseName = "meshway-mcs"

// Catalog is the gateway's access to the catalog.
type Catalog interface {
	// View returns the local copy of the catalog, without a request to a leader.
	View() *replica.View
	// Feed has the changes of View.
	Feed() *feed.Feed
	// Changed is closed at the next change of View after this call.
	Changed() <-chan struct{}
	// Propose writes commands. When it returns, View contains their effect.
	Propose(ctx context.Context, commands ...*catalogpb.Command) ([]catalog.Result, error)
}

// Config is the configuration of a Controller. All fields but Events, Report, Log and
// Lease are required.
type Config struct {
	Datacenter catalog.DatacenterName
	Identity   string // of this gateway as holder of the Lease
	Namespace  string // of the Lease
	Catalog    Catalog
	// Outage returns the datacenters that cannot be used. It is called once a second
	// and at each change of the catalog, and must not block.
	Outage     func() mcs.Outage
	Kubernetes kubernetes.Interface
	MCS        mcsclient.Interface
	Events     record.EventRecorder // nil: no Events are written
	Report     func([]plan.Problem) // called with all current problems when they change; nil: not called
	Log        *slog.Logger         // nil: discarded
	// Lease has the times of the Lease by which the gateways elect the one that writes
	// services; zero: the default. Two holders at the same time are harmless: both write
	// the same objects.
	Lease election.Times
}

func (c Config) validate() error {
	switch {
	case c.Datacenter == "" || c.Identity == "" || c.Namespace == "":
		return errors.New("configure multi-cluster services: datacenter, identity and namespace are required")
	case c.Catalog == nil || c.Outage == nil || c.Kubernetes == nil || c.MCS == nil:
		return errors.New("configure multi-cluster services: catalog, outage and both clients are required")
	}
	return nil
}
