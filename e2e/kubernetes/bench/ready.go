//go:build linux

package bench

import (
	"context"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// gatedPod is a pod whose readiness this process controls with a readiness gate
// (KEP-580).
const gatedPod = `
apiVersion: v1
kind: Pod
metadata: {name: gated, namespace: bench, labels: {app: gated}}
spec:
  nodeName: %s
  readinessGates: [{conditionType: bench.meshway.io/open}]
  containers: [{name: echo, image: meshway.test/echo:1, imagePullPolicy: Never}]
`

// measureReady measures the time from the pod's condition Ready, as received by a
// watch of its cluster, until a watch of the other cluster receives an
// EndpointSlice with the pod's address.
func (b *Bench) measureReady(ctx context.Context, r *Result) error {
	here, err := b.east.watch(ctx)
	if err != nil {
		return err
	}
	defer here.close()
	there, err := b.west.watch(ctx)
	if err != nil {
		return err
	}
	defer there.close()
	address, err := b.startGated(ctx)
	if err != nil {
		return err
	}
	var fromPod, fromSlice []float64
	for i := range b.cfg.Pods {
		ready, own, imported, err := b.readyOnce(ctx, here, there, address)
		if err != nil {
			return fmt.Errorf("ready %d: %w", i+1, err)
		}
		fromPod = append(fromPod, milliseconds(ready, imported))
		fromSlice = append(fromSlice, milliseconds(own, imported))
		b.logf("ready %d: %.0f ms, of which %.0f ms after the EndpointSlice of its cluster", i+1, fromPod[i], fromSlice[i])
	}
	r.ReadyToSlice = r.addSpread("ready_to_slice_ms", fromPod)
	r.addSpread("own_slice_to_slice_ms", fromSlice)
	return nil
}

// startGated starts the pod, exports its service, and waits until the service is
// imported and the pod is ready except for its gate. It returns the pod's address.
func (b *Bench) startGated(ctx context.Context) (address string, err error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	nodes := b.east.Nodes()
	if err := b.east.Apply(ctx, fmt.Sprintf(gatedPod, nodes[len(nodes)-1].Name)); err != nil {
		return "", err
	}
	for _, condition := range []string{"--for=condition=ContainersReady", "--for=jsonpath={.status.podIP}"} {
		if _, err := b.east.Kubectl(ctx, "-n", namespace, "wait", "pod/gated", condition, "--timeout=60s"); err != nil {
			return "", err
		}
	}
	if err := b.east.createService(ctx, "gated", "gated"); err != nil {
		return "", err
	}
	if err := b.east.export(ctx, "gated"); err != nil {
		return "", err
	}
	_, err = b.west.Kubectl(ctx, "-n", namespace, "wait", "serviceimport/gated", "--for=create", "--timeout=30s")
	if err != nil {
		return "", err
	}
	pod, err := b.east.core.CoreV1().Pods(namespace).Get(ctx, "gated", metav1.GetOptions{})
	if err != nil {
		return "", fmt.Errorf("get pod: %w", err)
	}
	return pod.Status.PodIP, nil
}

// readyOnce opens and closes the gate. It returns when the pod became ready, and
// when its address was in the EndpointSlices of both clusters.
func (b *Bench) readyOnce(ctx context.Context, here, there *watcher, address string) (ready, own, imported time.Time, err error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	if err = b.setGate(ctx, true); err != nil {
		return
	}
	if imported, err = there.await(ctx, "imported gated "+address); err != nil {
		return
	}
	if ready, err = here.await(ctx, "ready gated"); err != nil {
		return
	}
	if own, err = here.await(ctx, "own gated "+address); err != nil {
		return
	}
	if err = b.setGate(ctx, false); err != nil {
		return
	}
	err = here.awaitNot(ctx, "ready gated", "own gated "+address)
	if err == nil {
		err = there.awaitNot(ctx, "imported gated "+address)
	}
	return
}

func (b *Bench) setGate(ctx context.Context, open bool) error {
	status := map[bool]string{true: "True", false: "False"}[open]
	patch := `{"status":{"conditions":[{"type":"bench.meshway.io/open","status":"` + status + `"}]}}`
	_, err := b.east.core.CoreV1().Pods(namespace).Patch(ctx, "gated", types.StrategicMergePatchType, []byte(patch), metav1.PatchOptions{}, "status")
	if err != nil {
		return fmt.Errorf("set readiness gate: %w", err)
	}
	return nil
}
