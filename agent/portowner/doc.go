// Package portowner finds the process that has a port open, for error messages.
package portowner
