package kube

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	batchinformers "k8s.io/client-go/informers/batch/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/meshway/meshway/agent/wake"
)

const (
	// uninstallSuffix makes the name of the chart's pre-delete Job out of that of the DaemonSet.
	uninstallSuffix = "-uninstall"
	// uninstallRetryInterval is after a look that the API server did not answer.
	uninstallRetryInterval = time.Second
	// uninstallTimeout bounds one look.
	uninstallTimeout = 10 * time.Second
)

// UninstallConfig is what an UninstallWatcher needs.
type UninstallConfig struct {
	Client    kubernetes.Interface
	Namespace string
	DaemonSet string // that the agent belongs to; empty: not of a chart, never uninstalled
	Log       *slog.Logger
}

// UninstallWatcher knows whether the chart of this agent is being uninstalled:
// only then helm makes the Job of its pre-delete hook. The end of a pod, or of
// the DaemonSet, tells nothing: upgrades, drains and repairs look the same.
type UninstallWatcher struct {
	cfg    UninstallConfig
	jobs   *Source
	wake   wake.One
	latest wake.Latest[bool]
}

// NewUninstallWatcher returns a watcher that does nothing until it runs.
func NewUninstallWatcher(cfg UninstallConfig) (*UninstallWatcher, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	w := &UninstallWatcher{cfg: cfg, wake: wake.NewOne()}
	own := func(o *metav1.ListOptions) {
		o.FieldSelector = fields.OneTermEqualSelector("metadata.name", cfg.DaemonSet+uninstallSuffix).String()
	}
	var err error
	w.jobs, err = NewSource(batchinformers.NewFilteredJobInformer(cfg.Client, cfg.Namespace, 0, nil, own), nil, w.wake)
	return w, err
}

// Run watches until ctx ends.
func (w *UninstallWatcher) Run(ctx context.Context) error {
	if w.cfg.DaemonSet == "" {
		return nil
	}
	defer w.jobs.Start(ctx)()
	var retry <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-w.wake:
		case <-retry:
		}
		if retry = nil; !w.refresh(ctx) {
			retry = time.After(uninstallRetryInterval)
		}
	}
}

// refresh returns whether it got an answer. Without one nothing changes: who
// does not know keeps the data plane.
func (w *UninstallWatcher) refresh(ctx context.Context) bool {
	if !w.jobs.Synced() {
		return true
	}
	uninstalled := false
	for _, job := range Items[*batchv1.Job](w.jobs) {
		if job.Name != w.cfg.DaemonSet+uninstallSuffix {
			continue
		}
		newer, err := w.isNewer(ctx, job)
		if err != nil {
			w.cfg.Log.Warn("it is not known whether the chart is being uninstalled", "job", job.Name, "err", err)
			return false
		}
		uninstalled = newer
	}
	w.latest.Set(uninstalled)
	return true
}

// isNewer leaves out a Job that an earlier release left behind: it is older than
// the DaemonSet of this one.
func (w *UninstallWatcher) isNewer(ctx context.Context, job *batchv1.Job) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, uninstallTimeout)
	defer cancel()
	set, err := w.cfg.Client.AppsV1().DaemonSets(w.cfg.Namespace).Get(ctx, w.cfg.DaemonSet, metav1.GetOptions{})
	if err != nil {
		return false, fmt.Errorf("get daemonset %s: %w", w.cfg.DaemonSet, err)
	}
	return set.CreationTimestamp.Before(&job.CreationTimestamp), nil
}

// Current tells whether the chart is being uninstalled.
func (w *UninstallWatcher) Current() bool { return w.latest.Get() }

// Changed is closed at the next change of Current after this call.
func (w *UninstallWatcher) Changed() <-chan struct{} { return w.latest.Changed() }
