package controller

import (
	"context"
	"errors"
	"fmt"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
)

// elect takes part in elections until ctx ends, and runs lead while this gateway may
// write: from its first write of the Lease, as long as [tenure.follow] lasts.
func (c *Controller) elect(ctx context.Context, r *reconciler) error {
	ctx, cancel := context.WithCancel(ctx)
	var group sync.WaitGroup
	defer group.Wait()
	defer cancel()
	t := tenure{limit: c.cfg.Lease.Duration, sightings: make(chan sighting), done: ctx.Done()}
	elector, err := leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
		Lock: monitoredLock{&resourcelock.LeaseLock{
			LeaseMeta:  metav1.ObjectMeta{Namespace: c.cfg.Namespace, Name: LeaseName},
			Client:     c.cfg.Kubernetes.CoordinationV1(),
			LockConfig: resourcelock.ResourceLockConfig{Identity: c.cfg.Identity},
		}, c.failures, t},
		LeaseDuration:   c.cfg.Lease.Duration,
		RenewDeadline:   c.cfg.Lease.Renew,
		RetryPeriod:     c.cfg.Lease.Retry,
		ReleaseOnCancel: true,
		Name:            LeaseName,
		Callbacks:       leaderelection.LeaderCallbacks{OnStartedLeading: func(context.Context) {}, OnStoppedLeading: func() {}},
	})
	if err != nil {
		return fmt.Errorf("elect the gateway that writes services: %w", err)
	}
	group.Go(func() {
		for ctx.Err() == nil {
			elector.Run(ctx) // returns when a renewal fails
		}
	})
	for t.await(ctx) {
		lead, end := context.WithCancel(ctx)
		group.Go(func() { defer end(); t.follow(lead) })
		c.lead(lead, r)
		end()
	}
	return nil
}

// monitoredLock is a Lease whose failures are recorded, which client-go only logs, and
// whose holder a tenure learns.
type monitoredLock struct {
	resourcelock.Interface
	failures *failures
	tenure   tenure
}

const readLease, writeLease = "read Lease " + LeaseName, "write Lease " + LeaseName

// Get implements resourcelock.Interface.
func (l monitoredLock) Get(ctx context.Context) (*resourcelock.LeaderElectionRecord, []byte, error) {
	record, raw, err := l.Interface.Get(ctx)
	switch {
	case err == nil || apierrors.IsNotFound(err):
		l.failures.succeed(readLease)
		if record == nil || record.HolderIdentity == "" || record.HolderIdentity == l.Identity() {
			l.tenure.see(leaseNotTaken)
		} else {
			l.tenure.see(leaseTaken)
		}
	case !errors.Is(ctx.Err(), context.Canceled):
		l.failures.fail(readLease, err)
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

// wrote records the result of a write. A failure expires: once another gateway holds
// the Lease, this one does not write it, so that its success is never recorded.
func (l monitoredLock) wrote(ctx context.Context, record resourcelock.LeaderElectionRecord, err error) error {
	if err == nil && record.HolderIdentity == l.Identity() {
		l.tenure.see(leaseWritten)
	}
	switch {
	case err == nil || apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err):
		l.failures.succeed(writeLease)
	case !errors.Is(ctx.Err(), context.Canceled):
		l.failures.record(writeLease, err, true)
	}
	return err
}
