package kube

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
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
	// startDeadline is that of the Job in a cluster with an agent, until its pod starts.
	startDeadline = 45 * time.Second
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

// isNewer reports whether a Job is not older than the DaemonSet. An older Job is a
// leftover of an earlier installation. The API server's times are whole seconds, and an
// installation can be followed by its uninstallation within one.
func (w *UninstallWatcher) isNewer(ctx context.Context, job *batchv1.Job) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, uninstallTimeout)
	defer cancel()
	set, err := w.cfg.Client.AppsV1().DaemonSets(w.cfg.Namespace).Get(ctx, w.cfg.DaemonSet, metav1.GetOptions{})
	if err != nil {
		return false, fmt.Errorf("get daemonset %s: %w", w.cfg.DaemonSet, err)
	}
	return !job.CreationTimestamp.Before(&set.CreationTimestamp), nil
}

// Acknowledge gives the pod of the Job more time to start than the chart does: the chart
// sets a deadline for clusters where no agent ever ran, so that helm soon fails there.
func (w *UninstallWatcher) Acknowledge(ctx context.Context) error {
	name := w.cfg.DaemonSet + uninstallSuffix
	for _, job := range Items[*batchv1.Job](w.jobs) {
		deadline := job.Spec.ActiveDeadlineSeconds
		if job.Name != name || deadline == nil || *deadline >= int64(startDeadline.Seconds()) {
			continue
		}
		ctx, cancel := context.WithTimeout(ctx, uninstallTimeout)
		defer cancel()
		// The test fails if another agent, or the pod, was first.
		patch := fmt.Appendf(nil, `[{"op":"test","path":%[1]q,"value":%[2]d},{"op":"replace","path":%[1]q,"value":%[3]d}]`,
			"/spec/activeDeadlineSeconds", *deadline, int64(startDeadline.Seconds()))
		_, err := w.cfg.Client.BatchV1().Jobs(w.cfg.Namespace).Patch(ctx, name, types.JSONPatchType, patch, metav1.PatchOptions{})
		if err != nil && !apierrors.IsInvalid(err) && !apierrors.IsNotFound(err) {
			return fmt.Errorf("extend the deadline of job %s/%s: %w", w.cfg.Namespace, name, err)
		}
	}
	return nil
}

// Current reports whether the chart is being uninstalled.
func (w *UninstallWatcher) Current() bool { return w.latest.Get() }

// Changed is closed at the next change of Current after this call.
func (w *UninstallWatcher) Changed() <-chan struct{} { return w.latest.Changed() }
