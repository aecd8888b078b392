// Package chart tests the output of deploy/chart/meshway, its validation of
// values, and that the API server and the agent accept the result. It also builds
// the image of the agent.
package chart
