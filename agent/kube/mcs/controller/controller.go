package controller

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	"k8s.io/client-go/util/workqueue"

	"github.com/meshway/meshway/consensus/catalog"
)

const (
	workers        = 8
	firstBackoff   = 5 * time.Millisecond
	longestBackoff = 30 * time.Second
)

type queue = workqueue.TypedRateLimitingInterface[catalog.ServiceName]

// Controller does the work of one gateway. Make it with New.
type Controller struct {
	conf     Config
	log      *slog.Logger
	troubles *troubles
	unserved chan struct{} // size 1: the API seems to be gone

	local atomic.Pointer[local] // nil until it knows the cluster
	queue atomic.Pointer[queue] // nil while another gateway does the work
}

// Status is what a Controller is doing.
type Status struct {
	Leading bool // this gateway does the work of its cluster
}

// New makes a Controller that does nothing yet.
func New(conf Config) (*Controller, error) {
	if err := conf.validate(); err != nil {
		return nil, err
	}
	if conf.Lease == (Lease{}) {
		conf.Lease = DefaultLease()
	}
	c := &Controller{conf: conf, log: conf.Log, unserved: make(chan struct{}, 1)}
	if c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	c.troubles = newTroubles(c.log)
	return c, nil
}

// Status says what the controller is doing.
func (c *Controller) Status() Status {
	return Status{Leading: c.queue.Load() != nil}
}

// Run works until ctx ends, and then leaves all objects as they are: traffic goes
// on. What goes wrong with the API server is tried again for ever.
func (c *Controller) Run(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	var group sync.WaitGroup
	defer group.Wait()
	defer stop()
	group.Go(func() { c.tell(ctx) })
	for ctx.Err() == nil {
		served, err := c.awaitAPI(ctx)
		if err != nil {
			return nil //nolint:nilerr // ctx has ended
		}
		if err := c.serve(ctx, served); err != nil {
			return err
		}
	}
	return nil
}

// serve works until ctx ends or the cluster serves the API otherwise: with newer
// CRDs all begins anew, as with another gateway.
func (c *Controller) serve(ctx context.Context, served api) error {
	ctx, stop := context.WithCancel(ctx)
	local, err := newLocal(c.conf, served, watchers{c.enqueue, c.enqueueNamespace, c.failWatch})
	if err != nil {
		stop()
		return err
	}
	var group sync.WaitGroup
	defer group.Wait()
	defer local.wait()
	defer stop() // else the informers would not end
	c.log.Info("multi-cluster services are served", "as", served.dialect)
	group.Go(func() { defer stop(); c.awaitOtherAPI(ctx, served) })
	if !c.inform(ctx, local) {
		return nil
	}
	defer c.local.Store(nil)
	for ctx.Err() == nil {
		if err := c.elect(ctx, &reconciler{conf: c.conf, api: served, local: local}); err != nil {
			return err
		}
	}
	return nil
}

// inform lets local know the cluster. False: ctx ended before.
func (c *Controller) inform(ctx context.Context, local *local) bool {
	const reading = "read Services, EndpointSlices, Namespaces, ServiceExports and ServiceImports"
	c.troubles.fail(reading, errNotRead)
	defer c.troubles.succeed(reading)
	if !local.start(ctx) {
		return false
	}
	c.troubles.watched()
	c.local.Store(local)
	return true
}

var errNotRead = errors.New("the API server has not given all of them yet")

// elect takes part in one election, and leads while it holds the Lease.
func (c *Controller) elect(ctx context.Context, r *reconciler) error {
	ctx, cancel := context.WithCancel(ctx)
	var group sync.WaitGroup
	defer group.Wait()
	defer cancel()
	leading := make(chan context.Context, 1)
	elector, err := leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
		Lock: candidate{&resourcelock.LeaseLock{
			LeaseMeta:  metav1.ObjectMeta{Namespace: c.conf.Namespace, Name: LeaseName},
			Client:     c.conf.Kubernetes.CoordinationV1(),
			LockConfig: resourcelock.ResourceLockConfig{Identity: c.conf.Identity},
		}, c.troubles},
		LeaseDuration: c.conf.Lease.Duration, RenewDeadline: c.conf.Lease.Renew, RetryPeriod: c.conf.Lease.Retry,
		ReleaseOnCancel: true, Name: LeaseName,
		Callbacks: leaderelection.LeaderCallbacks{
			// The elector does not wait for this function, so the work is done below.
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

// lead does the work until ctx ends.
func (c *Controller) lead(ctx context.Context, r *reconciler) {
	c.log.Info("this gateway writes the multi-cluster services of its cluster")
	q := workqueue.NewTypedRateLimitingQueue(workqueue.NewTypedItemExponentialFailureRateLimiter[catalog.ServiceName](firstBackoff, longestBackoff))
	p := newPublisher(c.conf, c.log, func(name catalog.ServiceName) { q.Add(name) })
	r.publisher = p
	var group sync.WaitGroup
	if !r.publishAll(ctx) {
		q.ShutDown()
		return
	}
	c.queue.Store(&q)
	for _, name := range r.local.names() {
		q.Add(name)
	}
	for range workers {
		group.Go(func() { c.work(ctx, q, r) })
	}
	group.Go(func() { p.run(ctx) })
	group.Go(func() { c.watch(ctx, q, r) })
	<-ctx.Done()
	c.queue.Store(nil)
	q.ShutDown()
	group.Wait()
	c.troubles.resign()
	c.log.Info("another gateway may write the multi-cluster services now")
}

func (c *Controller) work(ctx context.Context, q queue, r *reconciler) {
	for {
		name, end := q.Get()
		if end {
			return
		}
		c.troubles.begin(name)
		err := r.reconcile(ctx, name)
		c.troubles.end(name, err)
		switch {
		case ctx.Err() != nil:
		case err == nil:
			q.Forget(name)
		default:
			c.report(name, err, q.NumRequeues(name))
			q.AddRateLimited(name)
		}
		q.Done(name)
	}
}

// report logs what does not go away: the cache often lags behind, and then the
// next try succeeds.
func (c *Controller) report(name catalog.ServiceName, err error, tries int) {
	const enough = 4
	level := slog.LevelDebug
	if tries > enough {
		level = slog.LevelWarn
	}
	c.log.Log(context.Background(), level, "a service waits", "namespace", name.Namespace, "name", name.Name, "tries", tries, "err", err)
}

func (c *Controller) enqueue(name catalog.ServiceName) {
	if q := c.queue.Load(); q != nil {
		(*q).Add(name)
	}
}

// enqueueNamespace looks again at all that is exported into a namespace.
func (c *Controller) enqueueNamespace(namespace string) {
	if c.queue.Load() == nil {
		return
	}
	for _, e := range c.conf.Catalog.View().Exports(catalog.ExportFilter{}) {
		if e.Namespace == namespace {
			c.enqueue(catalog.ServiceName{Namespace: e.Namespace, Name: e.Name})
		}
	}
}
