package catalogbench

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/meshway/meshway/e2e/benchmark"
)

// keys are those of a result, each of which is null unless it was measured.
var keys = []string{
	"single_writes_per_s", "etcd_single_writes_per_s", "write_ms_median", "etcd_write_ms_median",
	"commit_ms_median", "follower_write_ms_median", "etcd_follower_write_ms_median",
	"follower_writes_per_s", "etcd_follower_writes_per_s",
	"batched_registrations_per_s", "etcd_batched_per_s",
	"consistent_reads_per_s", "etcd_reads_per_s", "read_ms_median", "etcd_read_ms_median",
	"lease_reads_per_s", "stale_reads_per_s", "stale_read_us_median",
	"wan_rtt_ms", "wan_write_ms_median", "wan_etcd_write_ms_median",
	"wan_follower_write_ms_median", "wan_etcd_follower_write_ms_median",
	"wan_writes_per_s", "wan_etcd_writes_per_s", "wan_follower_writes_per_s", "wan_etcd_follower_writes_per_s",
	"wan_registrations_per_s", "wan_etcd_batched_per_s",
	"restart_ms", "restart_consistent_ms", "memory_mb", "etcd_memory_mb", "visible_ms_median",
	"fsyncs_per_write", "etcd_fsyncs_per_write", "bytes_per_write", "etcd_bytes_per_write",
	"socket_bare_writes_per_s", "socket_bare_write_ms_median",
	"socket_writes_per_s", "socket_write_ms_median", "socket_follower_writes_per_s", "socket_follower_write_ms_median",
}

// Result has the values of each round, by key.
type Result struct {
	machine string
	rounds  map[string][]float64
}

// NewResult returns a result without measurements.
func NewResult(machine string) *Result {
	return &Result{machine: machine, rounds: make(map[string][]float64)}
}

func (r *Result) add(key string, value float64) {
	if !slices.Contains(keys, key) {
		panic("catalogbench: unknown key " + key) // a mistake of this package
	}
	r.rounds[key] = append(r.rounds[key], value)
}

// JSON returns the medians of the rounds as one line of JSON. What was not measured is
// null.
func (r *Result) JSON() ([]byte, error) {
	line := map[string]any{"bench": "catalog", "machine": r.machine}
	for _, key := range keys {
		line[key] = nil
	}
	for key, values := range r.rounds {
		line[key] = rounded(benchmark.Median(values))
	}
	text, err := json.Marshal(line)
	if err != nil {
		return nil, fmt.Errorf("encode result: %w", err)
	}
	return text, nil
}

// Rounds returns the values of each round, one key a line, for the progress.
func (r *Result) Rounds() string {
	var text string
	for _, key := range slices.Sorted(maps.Keys(r.rounds)) {
		text += fmt.Sprintf("%-36s", key)
		for _, value := range r.rounds[key] {
			text += fmt.Sprintf(" %10.2f", value)
		}
		text += "\n"
	}
	return text
}

func rounded(value float64) float64 { return math.Round(value*1000) / 1000 }
