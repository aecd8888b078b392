package bench

import (
	"math"
	"slices"
)

// Result is what one run measured, as JSON. Null: it was not measured, or failed.
type Result struct {
	Bench           string   `json:"bench"`
	ExportToRequest *float64 `json:"export_to_request_ms_median"`
	ReadyToSlice    *float64 `json:"ready_to_slice_ms_median"`
	JoinToPing      *float64 `json:"join_to_ping_ms"`
	AgentMemory     *float64 `json:"agent_memory_mb"` // RSS of the importing gateway's agent after the idle time, MiB
	IdleCPU         *float64 `json:"idle_cpu_percent"`
	Burst5000       *float64 `json:"burst_5000_s"`

	// Spread has what is behind the medians, and what was seen besides.
	Spread map[string]Spread `json:"spread"`
	// Extra has single figures that explain those above, by name with unit.
	Extra   map[string]float64 `json:"extra"`
	Machine string             `json:"machine"`
}

// NewResult is a result of nothing yet.
func NewResult(machine string) *Result {
	return &Result{Bench: "kubernetes", Spread: make(map[string]Spread), Extra: make(map[string]float64), Machine: machine}
}

// Spread says how some values lie.
type Spread struct {
	N      int     `json:"n"`
	Min    float64 `json:"min"`
	Median float64 `json:"median"`
	P90    float64 `json:"p90"`
	Max    float64 `json:"max"`
}

// NewSpread is that of at least one value.
func NewSpread(values []float64) Spread {
	sorted := slices.Sorted(slices.Values(values))
	last := len(sorted) - 1
	return Spread{
		N: len(sorted), Min: round(sorted[0]), Median: round((sorted[last/2] + sorted[len(sorted)/2]) / 2),
		P90: round(sorted[int(math.Ceil(0.9*float64(len(sorted))))-1]), Max: round(sorted[last]),
	}
}

// addSpread notes values under a name and returns their median; nil: there are none.
func (r *Result) addSpread(name string, values []float64) *float64 {
	if len(values) == 0 {
		return nil
	}
	s := NewSpread(values)
	r.Spread[name] = s
	return &s.Median
}

func (r *Result) addExtra(name string, value float64) { r.Extra[name] = round(value) }

// rounded is a value as it is printed.
func rounded(value float64) *float64 {
	value = round(value)
	return &value
}

func round(value float64) float64 { return math.Round(value*100) / 100 }
