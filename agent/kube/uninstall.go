package kube

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	batchinformers "k8s.io/client-go/informers/batch/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/meshway/meshway/agent/notify"
)

const (
	// uninstallSuffix is appended to the name of the DaemonSet in the name of the chart's pre-delete Job.
	uninstallSuffix = "-uninstall"
	// uninstallRetryInterval is the delay after a failed request to the API server.
	uninstallRetryInterval = time.Second
	// uninstallTimeout is the timeout of such a request.
	uninstallTimeout = 10 * time.Second
)

// UninstallConfig configures an UninstallWatcher.
type UninstallConfig struct {
	Client    kubernetes.Interface
	Namespace string
	DaemonSet string       // of the agent; empty: not installed by the chart, never uninstalled
	Log       *slog.Logger // nil: discarded
}

// UninstallWatcher reports whether the chart of this agent is being uninstalled:
// only then Helm creates the Job of the pre-delete hook. The deletion of a pod or of
// the DaemonSet is no such sign, because upgrades, drains and repairs delete them too.
type UninstallWatcher struct {
	cfg    UninstallConfig
	jobs   *Source
	wake   notify.Signal
	latest notify.Latest[bool]
}

// NewUninstallWatcher returns a watcher that does nothing until it runs.
func NewUninstallWatcher(cfg UninstallConfig) (*UninstallWatcher, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	w := &UninstallWatcher{cfg: cfg, wake: notify.NewSignal()}
	informer := batchinformers.NewFilteredJobInformer(cfg.Client, cfg.Namespace, 0, nil, named(cfg.DaemonSet+uninstallSuffix))
	var err error
	w.jobs, err = NewSource(informer, nil, w.wake)
	return w, err
}

// Run watches until ctx ends.
func (w *UninstallWatcher) Run(ctx context.Context) error {
	if w.cfg.DaemonSet == "" {
		return nil
	}
	defer w.jobs.Start(ctx)()
	notify.Loop(ctx, w.pass, w.wake.Changed)
	return nil
}

// pass reads the objects. It returns the delay until the next attempt if it cannot
// read them. Then nothing changes: in doubt the data plane stays.
func (w *UninstallWatcher) pass(ctx context.Context) time.Duration {
	if !w.jobs.Synced() {
		return 0
	}
	uninstalled := false
	for _, job := range Items[*batchv1.Job](w.jobs) {
		if job.Name != w.cfg.DaemonSet+uninstallSuffix {
			continue
		}
		newer, err := w.isNewer(ctx, job)
		if err != nil {
			w.cfg.Log.Warn("failed to determine whether the chart is being uninstalled", "job", job.Name, "err", err)
			return uninstallRetryInterval
		}
		uninstalled = newer
	}
	w.latest.Set(uninstalled)
	return 0
}

// isNewer reports whether a Job is newer than the DaemonSet. An older Job is a
// leftover of an earlier installation.
func (w *UninstallWatcher) isNewer(ctx context.Context, job *batchv1.Job) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, uninstallTimeout)
	defer cancel()
	set, err := w.cfg.Client.AppsV1().DaemonSets(w.cfg.Namespace).Get(ctx, w.cfg.DaemonSet, metav1.GetOptions{})
	if err != nil {
		return false, fmt.Errorf("get daemonset %s: %w", w.cfg.DaemonSet, err)
	}
	return set.CreationTimestamp.Before(&job.CreationTimestamp), nil
}

// Current reports whether the chart is being uninstalled.
func (w *UninstallWatcher) Current() bool { return w.latest.Get() }

// Changed is closed at the next change of Current after this call.
func (w *UninstallWatcher) Changed() <-chan struct{} { return w.latest.Changed() }
