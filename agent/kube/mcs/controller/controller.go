package controller

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"k8s.io/client-go/util/workqueue"

	"github.com/meshway/meshway/agent/kube/election"
	"github.com/meshway/meshway/agent/notify"
	"github.com/meshway/meshway/agent/status"
	"github.com/meshway/meshway/consensus/catalog"
)

const (
	workers    = 8
	minBackoff = 5 * time.Millisecond
	maxBackoff = 30 * time.Second
)

type queue = workqueue.TypedRateLimitingInterface[catalog.ServiceName]

// Controller is the controller of multi-cluster services on one gateway. Create it
// with New.
type Controller struct {
	cfg        Config
	log        *slog.Logger
	failures   *failures
	rediscover notify.Signal // set when the API is possibly no longer served

	cache atomic.Pointer[clusterCache] // nil until it is filled
	queue atomic.Pointer[queue]        // nil while this gateway is not elected
}

// New returns a Controller that is not running.
func New(cfg Config) (*Controller, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	if cfg.Lease == (election.Times{}) {
		cfg.Lease = election.DefaultTimes()
	}
	c := &Controller{cfg: cfg, log: cfg.Log, rediscover: notify.NewSignal()}
	if c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	c.failures = newFailures(c.log)
	return c, nil
}

// Status returns the state of the services, nil until the cluster is read.
func (c *Controller) Status() *status.MultiCluster {
	cache := c.cache.Load()
	if cache == nil {
		return nil
	}
	s := cache.status()
	s.Writer, s.WriteErrors = c.queue.Load() != nil, c.failures.writes.Load()
	return &s
}

// Run runs the controller until ctx ends. It then leaves all objects in place, so
// that services keep working. Failures of the API server are retried indefinitely.
func (c *Controller) Run(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	var group sync.WaitGroup
	defer group.Wait()
	defer stop()
	group.Go(func() { c.reportProblems(ctx) })
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

// serve runs until ctx ends or the served API changes. With other CRDs the caches
// and the election start again.
func (c *Controller) serve(ctx context.Context, served api) error {
	ctx, stop := context.WithCancel(ctx)
	cache, err := newClusterCache(c.cfg, served, callbacks{c.enqueue, c.enqueueNamespace, c.watchFailed})
	if err != nil {
		stop()
		return err
	}
	var group sync.WaitGroup
	defer group.Wait()
	defer cache.wait()
	defer stop() // before wait: it ends the informers
	c.log.Info("serving multi-cluster services", "api", served.support)
	group.Go(func() { defer stop(); c.awaitAPIChange(ctx, served) })
	if !c.fill(ctx, cache) {
		return nil
	}
	defer c.cache.Store(nil)
	return election.Run(ctx, election.Config{
		Client:    c.cfg.Kubernetes.CoordinationV1(),
		Namespace: c.cfg.Namespace,
		Name:      LeaseName,
		Identity:  c.cfg.Identity,
		Times:     c.cfg.Lease,
		Monitor:   c.failures,
	}, func(ctx context.Context) { c.lead(ctx, &reconciler{cfg: c.cfg, api: served, cache: cache}) })
}

// fill starts the informers and waits until they have read the cluster. It reports
// false if ctx ends before.
func (c *Controller) fill(ctx context.Context, cache *clusterCache) bool {
	const step = "read Services, EndpointSlices, Namespaces, ServiceExports and ServiceImports"
	c.failures.fail(step, errNotRead)
	defer c.failures.succeed(step)
	if !cache.start(ctx) {
		return false
	}
	c.failures.watchesSucceeded()
	c.cache.Store(cache)
	return true
}

var errNotRead = errors.New("the API server has not returned all of them yet")

// lead reconciles all services until ctx ends.
func (c *Controller) lead(ctx context.Context, r *reconciler) {
	c.log.Info("elected to write the multi-cluster services of the cluster")
	q := workqueue.NewTypedRateLimitingQueue(workqueue.NewTypedItemExponentialFailureRateLimiter[catalog.ServiceName](minBackoff, maxBackoff))
	p := newPublisher(c.cfg, c.log, func(name catalog.ServiceName) { q.Add(name) })
	r.publisher = p
	var group sync.WaitGroup
	if !r.publishAll(ctx) {
		q.ShutDown()
		return
	}
	c.queue.Store(&q)
	for _, name := range r.cache.names() {
		q.Add(name)
	}
	for range workers {
		group.Go(func() { c.work(ctx, q, r) })
	}
	group.Go(func() { p.run(ctx) })
	group.Go(func() { c.observe(ctx, q, r) })
	<-ctx.Done()
	c.queue.Store(nil)
	q.ShutDown()
	group.Wait()
	c.failures.clearServices()
	c.log.Info("no longer elected to write the multi-cluster services of the cluster")
}

func (c *Controller) work(ctx context.Context, q queue, r *reconciler) {
	for {
		name, shutdown := q.Get()
		if shutdown {
			return
		}
		c.failures.begin(name)
		err := r.reconcile(ctx, name)
		c.failures.end(name, err)
		switch {
		case ctx.Err() != nil:
		case err == nil:
			q.Forget(name)
		default:
			c.logFailure(name, err, q.NumRequeues(name))
			q.AddRateLimited(name)
		}
		q.Done(name)
	}
}

// logFailure logs the first failures of a service at level debug: the cache is often
// outdated, and the next try succeeds.
func (c *Controller) logFailure(name catalog.ServiceName, err error, tries int) {
	const debugTries = 4
	level := slog.LevelDebug
	if tries > debugTries {
		level = slog.LevelWarn
	}
	c.log.Log(context.Background(), level, "failed to write a multi-cluster service", "service", serviceText(name), "tries", tries, "err", err)
}

// serviceText returns namespace/name.
func serviceText(name catalog.ServiceName) string { return name.Namespace + "/" + name.Name }

func (c *Controller) enqueue(name catalog.ServiceName) {
	if q := c.queue.Load(); q != nil {
		(*q).Add(name)
	}
}

// enqueueNamespace queues all names of a namespace.
func (c *Controller) enqueueNamespace(namespace string) {
	cache := c.cache.Load()
	if c.queue.Load() == nil || cache == nil {
		return
	}
	for _, name := range allNames(c.cfg.Catalog.View(), cache) {
		if name.Namespace == namespace {
			c.enqueue(name)
		}
	}
}
