// Package routes describes everything that steers packets (rules, routes,
// nexthops, sysctls and the firewall) as values, computes what differs from
// the kernel, and applies the difference.
package routes
