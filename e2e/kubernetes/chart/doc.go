// Package chart tests deploy/chart/meshway: what Helm renders of it, what it
// refuses, and that the API server and the agent understand the result. It also
// makes the image of the agent.
package chart
