// Package plan has what the plans of gateways and nodes depend on, the desired
// tunnels, routes, firewall and liveness sessions that they consist of, and the
// problems that they report. It is pure, like the packages below it: no context, no
// clock, no input or output. They import each other in one direction:
//
//	plan                     inputs, desired states, problems, reachability
//	acceptance               which prefixes are used, and which ranges stay local
//	tunnelend, routing       what gateways and nodes plan alike
//	gatewayplan, nodeplan    the planners
//
// Beside them, prefixset has the arithmetic of prefixes, and sighting finds the
// endpoints at which gateways see each other. The tests here run both planners on one
// federation.
package plan
