package kube

import (
	"context"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"github.com/meshway/meshway/agent/notify"
)

const (
	stopPollInterval = time.Second
	// stopMinimumWait lets agents that are not ready, and are therefore not counted,
	// observe the uninstallation before the API objects are deleted.
	stopMinimumWait = 5 * time.Second
)

// nodesSuffix is appended to the name of the DaemonSet of the gateways in the name of
// that of the other nodes.
const nodesSuffix = "-node"

// AwaitAgentsStopped waits until no agent of the chart is ready: an agent that has
// cleaned up its node keeps running, but is no longer ready. daemonset is that of the
// gateways.
func AwaitAgentsStopped(ctx context.Context, client kubernetes.Interface, namespace, daemonset string) error {
	start := time.Now()
	var ready int32
	var err error
	if notify.LoopUntil(ctx, stopPollInterval, func(ctx context.Context) bool {
		gateways, gatewaysErr := readyAgents(ctx, client, namespace, daemonset)
		nodes, nodesErr := readyAgents(ctx, client, namespace, daemonset+nodesSuffix)
		ready, err = gateways+nodes, errors.Join(gatewaysErr, nodesErr)
		return err == nil && ready == 0 && time.Since(start) >= stopMinimumWait
	}) {
		return nil
	}
	return errors.Join(fmt.Errorf("%d agents are still running; run kubectl -n %s logs --selector meshway.io/agent --prefix", ready, namespace), err)
}

func readyAgents(ctx context.Context, client kubernetes.Interface, namespace, daemonset string) (int32, error) {
	set, err := client.AppsV1().DaemonSets(namespace).Get(ctx, daemonset, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("get daemonset %s/%s: %w", namespace, daemonset, err)
	}
	return set.Status.NumberReady, nil
}

// ExtendUninstallation sets the deadline of the Job of the chart's pre-delete hook,
// counted from its start. The chart sets a short one, so that a Job whose pod cannot
// start fails soon.
func ExtendUninstallation(ctx context.Context, client kubernetes.Interface, namespace, daemonset string, deadline time.Duration) error {
	name := daemonset + uninstallSuffix
	patch := fmt.Appendf(nil, `{"spec":{"activeDeadlineSeconds":%d}}`, int64(deadline.Seconds()))
	_, err := client.BatchV1().Jobs(namespace).Patch(ctx, name, types.MergePatchType, patch, metav1.PatchOptions{})
	if err != nil {
		return fmt.Errorf("extend the deadline of job %s/%s: %w", namespace, name, err)
	}
	return nil
}
