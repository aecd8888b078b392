// Package sim tests whole agents in one process, in simulated time: real
// planning, consensus, control port and liveness; networks and kernels in
// memory. It needs neither root nor sockets.
package sim
