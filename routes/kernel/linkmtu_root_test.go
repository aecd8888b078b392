//go:build linux && root

package kernel_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestWatchWakesWhenTheMTUOfAnyLinkChanges(t *testing.T) {
	w := newWorld(t)
	w.ip("link add eth0 type veth peer name other")
	ctx, cancel := context.WithCancel(t.Context())
	woken, done := make(chan struct{}, 100), make(chan error, 1)
	go func() { done <- w.Watch(ctx, func() { woken <- struct{}{} }) }()
	await := func(what string) {
		select {
		case <-woken:
		case <-time.After(5 * time.Second):
			require.FailNow(t, "Watch did not wake", what)
		}
	}
	await("at its start")
	w.ip("link set eth0 mtu 1400")
	await("after the change")
	cancel()
	require.NoError(t, <-done)
}
