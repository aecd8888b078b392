// Package property publishes the name of the own cluster and its federation in the
// API of the cluster: the ClusterProperty objects of the About API (KEP-2149).
package property
