//go:build linux

package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/meshway/meshway/agent/kube"
	"github.com/meshway/meshway/e2e/kubernetes/cluster"
	"github.com/meshway/meshway/e2e/kubernetes/install"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	mcsclient "sigs.k8s.io/mcs-api/pkg/client/clientset/versioned"
)

// timeout is the time after which a single measurement counts as failed.
const timeout = 60 * time.Second

// Config configures the measurements.
type Config struct {
	Exports int // number of measurements, at least 1
	Pods    int // number of measurements, at least 1
	Joins   int // number of measurements, at least 1

	Services  int // imported services while memory, idle CPU and burst are measured
	Endpoints int // endpoints of each of these services
	Burst     int // endpoints that change in the burst
	Idle      time.Duration

	Only []string // subset of Measurements; empty: all
}

// DefaultConfig returns the configuration of `make bench-kubernetes`.
func DefaultConfig() Config {
	return Config{Exports: 9, Pods: 21, Joins: 3, Services: 1000, Endpoints: 10, Burst: 5000, Idle: 60 * time.Second}
}

// Measurements returns the names of all measurements, in the order of execution.
func Measurements() []string { return []string{"join", "export", "ready", "load", "idle", "burst"} }

// Validate returns an error if c has unknown measurements or invalid numbers.
func (c Config) Validate() error {
	for _, name := range c.Only {
		if !slices.Contains(Measurements(), name) {
			return fmt.Errorf("there is no measurement %q: use a subset of %s", name, strings.Join(Measurements(), ","))
		}
	}
	if min(c.Exports, c.Pods, c.Joins, c.Services, c.Endpoints, c.Burst) < 1 || c.Idle <= 0 {
		return errors.New("all numbers and durations must be positive")
	}
	if c.Endpoints > burstOffset {
		return fmt.Errorf("%d endpoints per service: use at most %d", c.Endpoints, burstOffset)
	}
	if c.Burst > c.Services*c.Endpoints {
		return fmt.Errorf("burst of %d endpoints: use at most %d, the number of all endpoints", c.Burst, c.Services*c.Endpoints)
	}
	return nil
}

// Bench measures a federation of two clusters, of which the first exports
// services and the second imports them.
type Bench struct {
	cfg        Config
	lab        *cluster.Lab
	federation *install.Federation
	progress   io.Writer
	east, west member
}

// member is one of the two clusters, with clients of its API server.
type member struct {
	*cluster.Cluster
	core kubernetes.Interface
	mcs  mcsclient.Interface
}

// New returns a Bench for clusters on which Meshway is installed, federated, and
// its DNS is enabled.
func New(conf Config, lab *cluster.Lab, federation *install.Federation, progress io.Writer) (*Bench, error) {
	if len(federation.Clusters) != 2 {
		return nil, fmt.Errorf("measure a federation of %d clusters: exactly 2 are required", len(federation.Clusters))
	}
	b := &Bench{cfg: conf, lab: lab, federation: federation, progress: progress}
	for i, s := range []*member{&b.east, &b.west} {
		clients, err := kube.ClientsOf(federation.Clusters[i].REST())
		if err != nil {
			return nil, err
		}
		*s = member{federation.Clusters[i], clients.Kubernetes, clients.MCS}
	}
	return b, nil
}

// Run performs the measurements and stores the results in r. It continues after
// failed measurements, which are missing in r, and returns their errors.
func (b *Bench) Run(ctx context.Context, r *Result) error {
	if err := b.setUp(ctx); err != nil {
		return err
	}
	steps := map[string]func(context.Context, *Result) error{
		"join": b.measureJoin, "export": b.measureExport, "ready": b.measureReady,
		"load": b.measureLoad, "idle": b.measureIdle, "burst": b.measureBurst,
	}
	var errs []error
	for _, name := range Measurements() {
		if len(b.cfg.Only) > 0 && !slices.Contains(b.cfg.Only, name) {
			continue
		}
		if ctx.Err() != nil {
			return errors.Join(append(errs, context.Cause(ctx))...)
		}
		started := time.Now()
		err := steps[name](ctx, r)
		if err != nil {
			err = fmt.Errorf("measure %s: %w", name, err)
			errs = append(errs, err)
			b.logf("failed: %v", err)
		}
		b.logf("%s took %.0f s", name, time.Since(started).Seconds())
	}
	return errors.Join(errs...)
}

func (b *Bench) logf(format string, args ...any) { fmt.Fprintf(b.progress, format+"\n", args...) }

// namespace is the namespace of all objects of the bench, in both clusters.
const namespace = "bench"

// echoPod is the server in one cluster and the client in the other. Neither is on
// a gateway, so that requests take the longest path.
const echoPod = `
apiVersion: v1
kind: Pod
metadata: {name: %[1]s, namespace: bench, labels: {app: %[1]s}}
spec:
  nodeName: %[2]s
  containers:
  - name: echo
    image: meshway.test/echo:1
    imagePullPolicy: Never
    readinessProbe: {httpGet: {path: /, port: 8080}, periodSeconds: 1}
`

func (b *Bench) setUp(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 2*timeout)
	defer cancel()
	for s, pod := range map[*member]string{&b.east: "server", &b.west: "client"} {
		object := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}
		if _, err := s.core.CoreV1().Namespaces().Create(ctx, object, metav1.CreateOptions{}); err != nil {
			return fmt.Errorf("create namespace: %w", err)
		}
		nodes := s.Nodes()
		if err := s.Apply(ctx, fmt.Sprintf(echoPod, pod, nodes[len(nodes)-1].Name)); err != nil {
			return fmt.Errorf("start pod %s: %w", pod, err)
		}
	}
	for s, pod := range map[*member]string{&b.east: "server", &b.west: "client"} {
		if _, err := s.Kubectl(ctx, "-n", namespace, "wait", "pod", pod, "--for=condition=Ready", "--timeout=60s"); err != nil {
			return err
		}
	}
	return nil
}
