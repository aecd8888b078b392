//go:build linux

package bench

import (
	"context"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// measureJoin measures the time from the start of `meshctl join` until a pod of
// the joining cluster, which sends requests all the time, receives an answer from
// a pod of the other cluster.
func (b *Bench) measureJoin(ctx context.Context, r *Result) error {
	server, err := b.east.core.CoreV1().Pods(namespace).Get(ctx, "server", metav1.GetOptions{})
	if err != nil {
		return fmt.Errorf("get pod: %w", err)
	}
	url := "http://" + server.Status.PodIP + ":8080/"
	var toPing, toReturn []float64
	for i := range b.cfg.Joins {
		ping, returned, err := b.joinOnce(ctx, url)
		if err != nil {
			return fmt.Errorf("join %d: %w", i+1, err)
		}
		b.logf("join %d: first answer after %.0f ms, meshctl join returned after %.0f ms", i+1, ping, returned)
		toPing, toReturn = append(toPing, ping), append(toReturn, returned)
	}
	r.JoinToPing = r.addSpread("join_to_ping_ms", toPing)
	r.addSpread("join_command_ms", toReturn)
	return nil
}

func (b *Bench) joinOnce(ctx context.Context, url string) (ping, returned float64, err error) {
	ctx, cancel := context.WithTimeout(ctx, 2*timeout)
	defer cancel()
	if _, err := b.lab.Exec(ctx, b.federation.Meshctl, "leave", "--yes", "--context", b.west.Name()); err != nil {
		return 0, 0, err
	}
	client, err := b.startClient(ctx, url)
	if err != nil {
		return 0, 0, err
	}
	defer client.stop()
	started := time.Now()
	if _, err := b.lab.Exec(ctx, b.federation.Meshctl, "join", "--context", b.west.Name(), "--via", b.east.Name()); err != nil {
		return 0, 0, err
	}
	ended := time.Now()
	answered, err := client.awaitAnswer()
	return milliseconds(started, answered), milliseconds(started, ended), err
}
