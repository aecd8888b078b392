package election

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	coordinationv1 "k8s.io/client-go/kubernetes/typed/coordination/v1"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
)

// Config is the configuration of the elections for one Lease. All fields are required.
type Config struct {
	Client          coordinationv1.CoordinationV1Interface
	Namespace, Name string // of the Lease
	Identity        string // of this gateway as its holder
	Times           Times
	Monitor         Monitor
}

// Times are the times of a Lease. A holder that crashes is replaced after Duration; one
// that stops releases the Lease.
type Times struct {
	Duration time.Duration
	Renew    time.Duration // how long the holder tries to renew before it takes part in a new election; less than Duration
	Retry    time.Duration // between two tries to acquire or renew
}

// DefaultTimes make one write to the API server every two seconds. A renewal takes up to
// three requests when the first fails; Renew permits eight requests of two seconds, so
// that an API server which fails often seldom ends a tenure. Kubernetes itself takes 40 s
// until it regards a node as lost (node-monitor-grace-period).
func DefaultTimes() Times {
	return Times{Duration: 20 * time.Second, Renew: 18 * time.Second, Retry: 2 * time.Second}
}

// Monitor learns of the requests for a Lease, which client-go only logs. An err of nil
// means that the API server answered as expected.
type Monitor interface {
	LeaseRead(err error)
	// LeaseWritten is not called with nil while another gateway holds the Lease.
	LeaseWritten(err error)
}

// Run takes part in elections until ctx ends, and calls lead for each time in which
// this gateway is elected: from its first write of the Lease, as long as
// [tenure.follow] lasts. The context of lead ends then, and Run waits for its return.
func Run(ctx context.Context, cfg Config, lead func(context.Context)) error {
	ctx, cancel := context.WithCancel(ctx)
	var group sync.WaitGroup
	defer group.Wait()
	defer cancel()
	t := tenure{limit: cfg.Times.Duration, sightings: make(chan sighting), done: ctx.Done()}
	elector, err := leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
		Lock: monitoredLock{&resourcelock.LeaseLock{
			LeaseMeta:  metav1.ObjectMeta{Namespace: cfg.Namespace, Name: cfg.Name},
			Client:     cfg.Client,
			LockConfig: resourcelock.ResourceLockConfig{Identity: cfg.Identity},
		}, cfg.Monitor, t},
		LeaseDuration:   cfg.Times.Duration,
		RenewDeadline:   cfg.Times.Renew,
		RetryPeriod:     cfg.Times.Retry,
		ReleaseOnCancel: true,
		Name:            cfg.Name,
		Callbacks:       leaderelection.LeaderCallbacks{OnStartedLeading: func(context.Context) {}, OnStoppedLeading: func() {}},
	})
	if err != nil {
		return fmt.Errorf("elect the holder of Lease %s: %w", cfg.Name, err)
	}
	group.Go(func() {
		for ctx.Err() == nil {
			elector.Run(ctx) // returns when a renewal fails
		}
	})
	for t.await(ctx) {
		term, end := context.WithCancel(ctx)
		group.Go(func() { defer end(); t.follow(term) })
		lead(term)
		end()
	}
	return nil
}

// monitoredLock is a Lease whose requests are passed to a Monitor, and whose holder
// determines a tenure.
type monitoredLock struct {
	resourcelock.Interface
	monitor Monitor
	tenure  tenure
}

// Get implements resourcelock.Interface.
func (l monitoredLock) Get(ctx context.Context) (*resourcelock.LeaderElectionRecord, []byte, error) {
	record, raw, err := l.Interface.Get(ctx)
	switch {
	case err == nil || apierrors.IsNotFound(err):
		l.monitor.LeaseRead(nil)
		if record == nil || record.HolderIdentity == "" || record.HolderIdentity == l.Identity() {
			l.tenure.see(leaseNotTaken)
		} else {
			l.tenure.see(leaseTaken)
		}
	case !errors.Is(ctx.Err(), context.Canceled):
		l.monitor.LeaseRead(err)
	}
	return record, raw, err
}

// Create implements resourcelock.Interface.
func (l monitoredLock) Create(ctx context.Context, record resourcelock.LeaderElectionRecord) error {
	return l.wrote(ctx, record, l.Interface.Create(ctx, record))
}

// Update implements resourcelock.Interface.
func (l monitoredLock) Update(ctx context.Context, record resourcelock.LeaderElectionRecord) error {
	return l.wrote(ctx, record, l.Interface.Update(ctx, record))
}

func (l monitoredLock) wrote(ctx context.Context, record resourcelock.LeaderElectionRecord, err error) error {
	if err == nil && record.HolderIdentity == l.Identity() {
		l.tenure.see(leaseWritten)
	}
	switch {
	case err == nil || apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err):
		l.monitor.LeaseWritten(nil)
	case !errors.Is(ctx.Err(), context.Canceled):
		l.monitor.LeaseWritten(err)
	}
	return err
}
