// Package sim tests complete agents in one process and in simulated time, with
// networks and kernels in memory. Planning, consensus, control port and liveness
// are those of the product. It requires neither root nor sockets.
package sim
