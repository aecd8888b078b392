package bench

import (
	"math"
	"slices"
)

// Result is the JSON result of a run. Measurements that failed or were not made
// are null.
type Result struct {
	Bench           string   `json:"bench"`
	ExportToRequest *float64 `json:"export_to_request_ms_median"`
	ReadyToSlice    *float64 `json:"ready_to_slice_ms_median"`
	JoinToPing      *float64 `json:"join_to_ping_ms"`
	AgentMemory     *float64 `json:"agent_memory_mb"` // RSS of the importing gateway's agent after the idle time, MiB
	IdleCPU         *float64 `json:"idle_cpu_percent"`
	Burst5000       *float64 `json:"burst_5000_s"`

	// Spread has the distributions of the medians above and of further values.
	Spread map[string]Spread `json:"spread"`
	// Extra has further single values; the names end with the unit.
	Extra   map[string]float64 `json:"extra"`
	Machine string             `json:"machine"`
}

// NewResult returns a result without measurements.
func NewResult(machine string) *Result {
	return &Result{Bench: "kubernetes", Spread: make(map[string]Spread), Extra: make(map[string]float64), Machine: machine}
}

// Spread summarizes a distribution of values.
type Spread struct {
	N      int     `json:"n"`
	Min    float64 `json:"min"`
	Median float64 `json:"median"`
	P90    float64 `json:"p90"`
	Max    float64 `json:"max"`
}

// NewSpread returns the spread of values, of which there must be at least one.
func NewSpread(values []float64) Spread {
	sorted := slices.Sorted(slices.Values(values))
	last := len(sorted) - 1
	return Spread{
		N:      len(sorted),
		Min:    round(sorted[0]),
		Median: round((sorted[last/2] + sorted[len(sorted)/2]) / 2),
		P90:    round(sorted[int(math.Ceil(0.9*float64(len(sorted))))-1]),
		Max:    round(sorted[last]),
	}
}

// addSpread adds the spread of values and returns their median, or nil if there
// are none.
func (r *Result) addSpread(name string, values []float64) *float64 {
	if len(values) == 0 {
		return nil
	}
	s := NewSpread(values)
	r.Spread[name] = s
	return &s.Median
}

func (r *Result) addExtra(name string, value float64) { r.Extra[name] = round(value) }

// rounded returns a pointer to the rounded value.
func rounded(value float64) *float64 {
	value = round(value)
	return &value
}

func round(value float64) float64 { return math.Round(value*100) / 100 }
