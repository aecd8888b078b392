package main

import "math"

// rounded returns a value with three digits after the point.
func rounded(v float64) *float64 {
	v = math.Round(v*1000) / 1000
	return &v
}
