//go:build linux

package bench

import (
	"encoding/json"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestSpreadSummarizesValues(t *testing.T) {
	for name, c := range map[string]struct {
		values []float64
		want   Spread
	}{
		"one":        {[]float64{7}, Spread{1, 7, 7, 7, 7}},
		"odd":        {[]float64{9, 1, 2}, Spread{3, 1, 2, 9, 9}},
		"even":       {[]float64{4, 1, 3, 2}, Spread{4, 1, 2.5, 4, 4}},
		"an outlier": {[]float64{1, 1, 1, 1, 1, 1, 1, 1, 2, 100}, Spread{10, 1, 1, 2, 100}},
	} {
		t.Run(name, func(t *testing.T) { assert.Equal(t, c.want, NewSpread(c.values)) })
	}
}

func TestMissingMeasurementsAreNull(t *testing.T) {
	r := NewResult("a machine")
	r.JoinToPing = r.addSpread("join_to_ping_ms", []float64{3, 1, 2})
	r.ReadyToSlice = r.addSpread("ready_to_slice_ms", nil)
	line, err := json.Marshal(r)
	require.NoError(t, err)
	assert.JSONEq(t, `{"bench": "kubernetes", "machine": "a machine", "extra": {},
		"export_to_request_ms_median": null, "ready_to_slice_ms_median": null, "join_to_ping_ms": 2,
		"agent_memory_mb": null, "idle_cpu_percent": null, "burst_5000_s": null,
		"spread": {"join_to_ping_ms": {"n": 3, "min": 1, "median": 2, "p90": 3, "max": 3}}}`, string(line))
}

func TestInvalidConfigIsRefused(t *testing.T) {
	for name, edit := range map[string]func(*Config){
		"unknown measurement": func(c *Config) { c.Only = []string{"join", "speed"} },
		"no measurement":      func(c *Config) { c.Pods = 0 },
		"burst above load":    func(c *Config) { c.Services = 10 },
		"slice above network": func(c *Config) { c.Services, c.Endpoints = 20, 500 },
	} {
		t.Run(name, func(t *testing.T) {
			c := DefaultConfig()
			require.NoError(t, c.Validate())
			edit(&c)
			assert.Error(t, c.Validate())
		})
	}
}

func TestBurstChangesEveryEndpoint(t *testing.T) {
	c, pods := DefaultConfig(), netip.MustParsePrefix("10.11.0.0/23")
	changed := loadSlices(pods.Addr(), c.Burst/c.Endpoints, c.Endpoints, burstOffset)
	for i, s := range loadSlices(pods.Addr(), c.Services, c.Endpoints, 0) {
		seen := map[netip.Addr]bool{}
		list := s.addresses
		if i < len(changed) {
			list = append(list, changed[i].addresses...)
		}
		for _, a := range list {
			assert.True(t, pods.Contains(a), a)
			assert.False(t, seen[a], "service %d has %s twice", i, a)
			seen[a] = true
		}
	}
}

func TestWatcherReturnsTheTimeSinceWhichAFactHolds(t *testing.T) {
	pod := func(ready corev1.ConditionStatus) *corev1.Pod {
		return &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Name: "p"},
			Status:     corev1.PodStatus{Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: ready}}},
		}
	}
	unready := false
	slice := &discoveryv1.EndpointSlice{ObjectMeta: metav1.ObjectMeta{Name: "s", Labels: map[string]string{discoveryv1.LabelServiceName: "web"}}, Endpoints: []discoveryv1.Endpoint{
		{Addresses: []string{"10.0.0.1"}},
		{Addresses: []string{"10.0.0.2"}, Conditions: discoveryv1.EndpointConditions{Ready: &unready}},
	}}
	synctest.Test(t, func(t *testing.T) {
		w := newWatcher()
		w.update(slice)
		w.update(pod(corev1.ConditionFalse))
		require.NoError(t, w.awaitNot(t.Context(), "ready p", "own web 10.0.0.2"))
		time.Sleep(time.Second)
		ready := time.Now()
		go func() {
			w.update(pod(corev1.ConditionTrue))
			time.Sleep(time.Second)
			w.update(pod(corev1.ConditionTrue))
		}()
		at, err := w.await(t.Context(), "own web 10.0.0.1", "ready p")
		require.NoError(t, err)
		assert.Equal(t, ready, at, "the later of both")
		time.Sleep(2 * time.Second)
		assert.Equal(t, ready, w.since("ready p"), "a further event with the fact does not change its time")
		w.remove(pod(corev1.ConditionTrue))
		assert.Zero(t, w.since("ready p"))
	})
}
