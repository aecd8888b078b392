package controller

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/record"
	mcsclient "sigs.k8s.io/mcs-api/pkg/client/clientset/versioned"

	"github.com/meshway/meshway/agent/kube/mcs"
	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/catalogpb"
)

// LeaseName is the Lease of the gateway that does the work.
const LeaseName = "meshway-mcs"

// Catalog is this gateway's part of the catalog.
type Catalog interface {
	View() *catalog.View
	// Changed is closed at the next change of View after this call.
	Changed() <-chan struct{}
	// Propose writes; what it returns can be read from View at once.
	Propose(ctx context.Context, commands ...*catalogpb.Command) ([]catalog.Result, error)
}

// Config is what a Controller needs. All but Events, Report, Log and Lease are required.
type Config struct {
	Datacenter catalog.DatacenterName
	Identity   string // of this gateway: its name in the Lease
	Namespace  string // of the Lease
	Catalog    Catalog
	// Outage gives the datacenters that cannot be used. It is asked once a second
	// and whenever the catalog changes: it must be fast.
	Outage     func() mcs.Outage
	Kubernetes kubernetes.Interface
	MCS        mcsclient.Interface
	Events     record.EventRecorder // nil: none are written
	Report     func([]plan.Problem) // takes all that is wrong now each time that it changes; nil: nobody does
	Log        *slog.Logger         // nil: discarded
	Lease      Lease                // zero: DefaultLease
}

// Lease is how the gateways agree on who does the work. A gateway that dies
// without a word is replaced after Duration; one that ends releases it at once.
type Lease struct {
	Duration time.Duration
	Renew    time.Duration // until when the holder must have renewed; less than Duration
	Retry    time.Duration
}

// DefaultLease costs the API server one write each two seconds. To renew takes up
// to three requests when the first fails: there is time for them, also when each
// takes three seconds. Two holders for a moment would do no harm.
func DefaultLease() Lease {
	return Lease{Duration: 12 * time.Second, Renew: 10 * time.Second, Retry: 2 * time.Second}
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
