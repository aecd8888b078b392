// Package property says in the API of the own cluster which cluster it is and in
// which federation: the ClusterProperty objects of the About API (KEP-2149).
package property
