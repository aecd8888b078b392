package status

import "github.com/prometheus/client_golang/prometheus"

// Collector renders the newest snapshot as metrics.
type Collector struct{ snapshot func() Snapshot }

// NewCollector makes a collector that asks snapshot at each scrape.
func NewCollector(snapshot func() Snapshot) *Collector { return &Collector{snapshot: snapshot} }

// Describe implements prometheus.Collector.
func (c *Collector) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (c *Collector) Collect(chan<- prometheus.Metric) {}
