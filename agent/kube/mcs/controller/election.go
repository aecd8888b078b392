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

// elect takes part in one election, and runs lead while this gateway holds the Lease.
func (c *Controller) elect(ctx context.Context, r *reconciler) error {
	ctx, cancel := context.WithCancel(ctx)
	var group sync.WaitGroup
	defer group.Wait()
	defer cancel()
	leading := make(chan context.Context, 1)
	elector, err := leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
		Lock: monitoredLock{&resourcelock.LeaseLock{
			LeaseMeta:  metav1.ObjectMeta{Namespace: c.cfg.Namespace, Name: LeaseName},
			Client:     c.cfg.Kubernetes.CoordinationV1(),
			LockConfig: resourcelock.ResourceLockConfig{Identity: c.cfg.Identity},
		}, c.failures},
		LeaseDuration:   c.cfg.Lease.Duration,
		RenewDeadline:   c.cfg.Lease.Renew,
		RetryPeriod:     c.cfg.Lease.Retry,
		ReleaseOnCancel: true,
		Name:            LeaseName,
		Callbacks: leaderelection.LeaderCallbacks{
			// The elector does not wait for this function, so lead is called below.
			OnStartedLeading: func(ctx context.Context) { leading <- ctx },
			OnStoppedLeading: cancel,
		},
	})
	if err != nil {
		return fmt.Errorf("elect the gateway that writes services: %w", err)
	}
	group.Go(func() { elector.Run(ctx) })
	select {
	case <-ctx.Done():
	case lead := <-leading:
		c.lead(lead, r)
	}
	return nil
}

// monitoredLock is a Lease whose failures are recorded; client-go only logs them.
type monitoredLock struct {
	resourcelock.Interface
	failures *failures
}

const readLease, writeLease = "read Lease " + LeaseName, "write Lease " + LeaseName

// Get implements resourcelock.Interface.
func (l monitoredLock) Get(ctx context.Context) (*resourcelock.LeaderElectionRecord, []byte, error) {
	record, raw, err := l.Interface.Get(ctx)
	switch {
	case err == nil || apierrors.IsNotFound(err):
		l.failures.succeed(readLease)
	case !errors.Is(ctx.Err(), context.Canceled):
		l.failures.fail(readLease, err)
	}
	return record, raw, err
}

// Create implements resourcelock.Interface.
func (l monitoredLock) Create(ctx context.Context, record resourcelock.LeaderElectionRecord) error {
	return l.wrote(ctx, l.Interface.Create(ctx, record))
}

// Update implements resourcelock.Interface.
func (l monitoredLock) Update(ctx context.Context, record resourcelock.LeaderElectionRecord) error {
	return l.wrote(ctx, l.Interface.Update(ctx, record))
}

// wrote records the result of a write. A failure expires: once another gateway holds
// the Lease, this one does not write it, so that its success is never recorded.
func (l monitoredLock) wrote(ctx context.Context, err error) error {
	switch {
	case err == nil || apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err):
		l.failures.succeed(writeLease)
	case !errors.Is(ctx.Err(), context.Canceled):
		l.failures.record(writeLease, err, true)
	}
	return err
}
